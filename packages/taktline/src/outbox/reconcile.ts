/**
 * After the broker has lost data: which jobs of queues that are kept until the end are gone, and putting them back. A job that had
 * ended unseen runs again, which is why their tasks declare an effect key.
 */
import type { Broker } from '../broker/broker.ts';
import type { Inspector } from '../broker/inspector.ts';
import type { OutboxDatabase } from './outbox-database.ts';
import { lookAtStanding, type QueueLoss } from './standing.ts';
import { dropEnded, endStates } from './upkeep.ts';

export interface ReconcileOptions {
  /** Only find out what would be done. Default false. */
  readonly dryRun?: boolean;
  /** Told after each step, with the number of jobs that were compared. */
  readonly onProgress?: (compared: number) => void;
}

/** What was compared of one queue that is kept until the end. */
export interface Reconciled {
  readonly queue: string;
  /** Jobs of which the outbox did not know that they had ended. */
  readonly compared: number;
  /** The broker has them, and they have not ended; or another run has put them back meanwhile. */
  readonly there: number;
  /** They had ended: their rows are removed. */
  readonly ended: number;
  /** The broker knows nothing of them: they are enqueued again. */
  readonly lost: number;
}

export interface Reconciliation {
  readonly queues: readonly Reconciled[];
  /** Jobs of other queues that are gone for good, since this was last asked. */
  readonly lostElsewhere: readonly QueueLoss[];
}

export interface ReconcileParts {
  readonly database: OutboxDatabase;
  readonly broker: Broker;
  readonly inspector: Inspector;
  readonly kept: readonly string[];
}

type KeptRow = Record<string, unknown> & { readonly id: string; readonly queue: string; readonly version: string };

const pageSize = 2_000;

export async function reconcile(parts: ReconcileParts, { dryRun = false, onProgress }: ReconcileOptions): Promise<Reconciliation> {
  const { database, broker, inspector } = parts;
  const { statements } = database;
  await lookAtStanding(parts);
  // Also queues that this app does not declare so: another release of it has put their jobs there. Who had ended is to be known of all.
  const rowsOf = (await database.query<{ queue: string }>(statements.keptQueues)).map(({ queue }) => queue);
  const kept = [...new Set([...parts.kept, ...rowsOf])];
  const there = (await inspector.queues()).map(({ name }) => name);
  const told = { database, broker, kept: kept.filter((queue) => there.includes(queue)) };
  const tally = new Map(kept.map((queue) => [queue, { queue, compared: 0, there: 0, ended: 0, lost: 0 }]));
  await dropEnded(told);
  let compared = 0;
  for (let after = ''; ; ) {
    const rows = await database.query<KeptRow>(statements.kept, [after, pageSize]);
    const last = rows.at(-1);
    if (last === undefined) break;
    after = last.id;
    const states = await broker.states(rows.map(({ id }) => id));
    const count = (queue: string, what: 'compared' | 'there' | 'ended' | 'lost') => {
      const known = tally.get(queue) ?? { queue, compared: 0, there: 0, ended: 0, lost: 0 };
      tally.set(queue, known);
      known[what] += 1;
    };
    const unknown: KeptRow[] = [];
    const ended: string[] = [];
    for (const [index, row] of rows.entries()) {
      const state = states[index];
      count(row.queue, 'compared');
      if (state === undefined) unknown.push(row);
      else if (endStates.has(state)) {
        ended.push(row.id);
        count(row.queue, 'ended');
      } else count(row.queue, 'there');
    }
    if (ended.length > 0 && !dryRun) await database.query(statements.ended, [ended]);
    if (unknown.length > 0) {
      // One whose result is not kept is unknown from the moment it ends, and then it is told.
      await dropEnded(told);
      const become = await putBack(database, unknown, dryRun);
      for (const { id, queue } of unknown) count(queue, become.get(id) ?? 'ended');
    }
    compared += rows.length;
    onProgress?.(compared);
  }
  const elsewhere = await database.query<{ queue: string; lost: string }>(statements.standing);
  const lostElsewhere = elsewhere
    .filter(({ queue, lost }) => Number(lost) > 0 && !kept.includes(queue))
    .map(({ queue, lost }) => ({ queue, atMost: Number(lost) }));
  if (!dryRun) await database.query(statements.told);
  return { queues: [...tally.values()], lostElsewhere };
}

/** What has become of jobs that the broker does not know. Those that have just ended are left out; another run may have put some back. */
async function putBack(
  database: OutboxDatabase,
  rows: readonly KeptRow[],
  dryRun: boolean,
): Promise<ReadonlyMap<string, 'lost' | 'there'>> {
  const { stillKept, again, notEnded } = database.statements;
  const which = [rows.map(({ id }) => id), rows.map(({ version }) => version)];
  const lost = new Set((await database.query<{ id: string }>(dryRun ? stillKept : again, which)).map(({ id }) => id));
  const become = new Map<string, 'lost' | 'there'>([...lost].map((id) => [id, 'lost']));
  const others = rows.flatMap(({ id }) => (lost.has(id) ? [] : [id]));
  const there = others.length === 0 ? [] : await database.query<{ id: string }>(notEnded, [others]);
  for (const { id } of there) become.set(id, 'there');
  return become;
}
