/**
 * Settlements as arguments of exchange(): for each claim a mask of the jobs that are settled, packs of those that ended
 * and are to be kept, and the rare outcomes as JSON.
 */
import { TaktlineError } from '../../support/taktline-error.ts';
import type { ClaimedJob, Settlement } from '../broker.ts';
import { laneNumber } from '../codes.ts';
import { type Pack, pack } from '../packs.ts';
import { rankOf } from './claim-rows.ts';
import type { QueueTable } from './queue-table.ts';
import { array, groupSeparator, join, joinPacks, separator, storable } from './wire.ts';

export interface PackedSettlements {
  /** The third to the seventeenth argument of exchange(). */
  readonly values: readonly unknown[];
  accepted(masks: readonly string[]): readonly boolean[];
  /** Places in queues to which jobs go back. */
  readonly handedBack: readonly { readonly queue: number; readonly rank: string }[];
}

const nothingSettled: PackedSettlements = { values: Array.from({ length: 15 }, () => null), accepted: () => [], handedBack: [] };

export async function packSettlements(settlements: readonly Settlement[], queues: QueueTable): Promise<PackedSettlements> {
  if (settlements.length === 0) return nothingSettled;
  const claims = new Map<string, { readonly at: number; readonly bits: string[] }>();
  const once: Settlement[] = [];
  for (const settlement of settlements) {
    const { job } = settlement;
    let entry = claims.get(job.claim);
    if (entry === undefined) {
      entry = { at: claims.size + 1, bits: [] };
      claims.set(job.claim, entry);
    }
    // A job that stands twice in a batch is settled by the first.
    if (entry.bits[job.position] === '1') continue;
    while (entry.bits.length <= job.position) entry.bits.push('0');
    entry.bits[job.position] = '1';
    once.push(settlement);
  }
  const first = new Set(once);
  const atOf = (job: ClaimedJob) => (claims.get(job.claim) as { at: number }).at;
  const ends = once.filter((settlement) => settlement.kind === 'end').map((settlement) => told(settlement, queues));
  const moves = once.filter((settlement) => settlement.kind !== 'end');
  const kept = ends.filter((settlement) => settlement.keepMs > 0);
  // In the order of their claim, so that a mask tells which they are.
  kept.sort((one, other) => atOf(one.job) - atOf(other.job) || one.job.position - other.job.position);
  const packs = pack(
    kept,
    ({ job }) => job.id,
    ({ result, past }) => (result?.length ?? 0) + (past?.length ?? 0),
    (one, other) =>
      one.job.claim === other.job.claim && one.job.queue === other.job.queue && one.state === other.state && one.keepMs === other.keepMs,
  );
  const heads = packs.map(({ items }) => items[0] as Ended);
  const queueNumbers = await queues.numbers(heads.map(({ job }) => job.queue));
  const moveQueues = await queues.numbers(moves.map(({ job }) => job.queue));
  const packed = moves.map((move, index) => packMove(move, atOf(move.job), moveQueues[index] as number));
  return {
    values: [
      array([...claims.keys()]),
      array([...claims.values()].map(({ bits }) => bits.join(''))),
      ...(kept.length === 0
        ? Array.from({ length: 12 }, () => null)
        : [
            array(heads.map(({ job }) => atOf(job))),
            array(packs.map(({ items }) => maskOf(items))),
            array(packs.map(({ items }) => items.length)),
            heads.map(({ state }) => (state === 'succeeded' ? 's' : 'c')).join(''),
            array(queueNumbers),
            array(heads.map(({ keepMs }) => keepMs)),
            join(packs, ({ first }) => first),
            join(packs, ({ items, last }) => (items.length === 1 ? '' : last)),
            joinPacks(packs, ({ job }) => job.id),
            join(packs, timesOf),
            joinPacks(packs, ({ result }) => result ?? ''),
            kept.some(({ past }) => past !== undefined) ? joinPacks(packs, ({ past }) => past ?? '') : null,
          ]),
      packed.length === 0 ? null : JSON.stringify(packed),
    ],
    accepted: (masks) =>
      settlements.map((settlement) => first.has(settlement) && masks[atOf(settlement.job) - 1]?.[settlement.job.position] === '1'),
    handedBack: moves.flatMap((move, index) =>
      move.kind === 'release' && move.lane === 'usual' ? [{ queue: moveQueues[index] as number, rank: rankOf(move.job).toString() }] : [],
    ),
  };
}

type Ended = Extract<Settlement, { kind: 'end' }>;

/** Where ends are told, a job whose result is not kept leaves a row too, which is removed with the next upkeep. */
function told(settlement: Ended, queues: QueueTable): Ended {
  return settlement.keepMs === 0 && queues.keepsEnds(settlement.job.queue) ? { ...settlement, keepMs: 1 } : settlement;
}

/** A bit for each place of the claim, up to the last of these jobs. */
function maskOf(items: readonly Ended[]): string {
  let mask = '';
  for (const { job } of items) mask = `${mask.padEnd(job.position, '0')}1`;
  return mask;
}

/** When the jobs of a pack were enqueued: one time where all have the same. */
function timesOf({ items }: Pack<Ended>): string {
  const [head] = items as readonly [Ended, ...Ended[]];
  return items.every(({ job }) => job.enqueuedAt === head.job.enqueuedAt)
    ? String(head.job.enqueuedAt)
    : items.map(({ job }) => job.enqueuedAt).join(',');
}

function packMove(settlement: Exclude<Settlement, { kind: 'end' }>, at: number, queue: number): Record<string, unknown> {
  const { job, kind } = settlement;
  const past = settlement.past ?? job.past;
  if (past?.includes(separator) === true || past?.includes(groupSeparator) === true)
    throw new TaktlineError('INVALID_INPUT', 'a past holds a separator');
  return {
    at,
    position: job.position,
    kind,
    id: job.id,
    queue,
    rank: rankOf(job).toString(),
    enqueued: job.enqueuedAt,
    envelope: job.envelope,
    past,
    ...(kind === 'bury' ? {} : { expires: job.expiresAt }),
    ...(kind === 'release' ? { lane: laneNumber(settlement.lane), ready: job.readyAt === job.enqueuedAt ? undefined : job.readyAt } : {}),
    ...(kind === 'reschedule' ? { delay: settlement.delayMs } : {}),
    // A dead letter is the last resort: what it says must not keep it from being stored.
    ...(kind === 'bury' ? { task: storable(settlement.task), code: storable(settlement.code), message: storable(settlement.message) } : {}),
  };
}
