/**
 * Settlements as arguments of exchange(): for each claim a mask of the jobs that are settled, a list of those that ended
 * with a result to keep, and the rare outcomes as JSON.
 */
import { TaktlineError } from '../../support/taktline-error.ts';
import type { ClaimedJob, Settlement } from '../broker.ts';
import { laneNumber } from './queue-cursor.ts';
import type { QueueTable } from './queue-table.ts';
import { array, join, separator } from './wire.ts';

export interface PackedSettlements {
  /** The third to the fourteenth argument of exchange(). */
  readonly values: readonly unknown[];
  accepted(masks: readonly string[]): readonly boolean[];
  /** Places in queues to which jobs go back. */
  readonly handedBack: readonly { readonly queue: number; readonly rank: string }[];
}

const nothingSettled: PackedSettlements = { values: Array.from({ length: 12 }, () => null), accepted: () => [], handedBack: [] };

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
  const ends = once.filter((settlement) => settlement.kind === 'end');
  const moves = once.filter((settlement) => settlement.kind !== 'end');
  const kept = ends.filter((settlement) => settlement.keepMs > 0);
  const queueNumbers = await queues.numbers(kept.map(({ job }) => job.queue));
  const moveQueues = await queues.numbers(moves.map(({ job }) => job.queue));
  const packed = moves.map((move, index) => packMove(move, atOf(move.job), moveQueues[index] as number));
  return {
    values: [
      array([...claims.keys()]),
      array([...claims.values()].map(({ bits }) => bits.join(''))),
      ...(kept.length === 0
        ? [null, null, null, null, null, null, null, null, null]
        : [
            array(kept.map(({ job }) => atOf(job))),
            array(kept.map(({ job }) => job.position)),
            join(kept, ({ job }) => job.id),
            kept.map(({ state }) => (state === 'succeeded' ? 's' : 'c')).join(''),
            array(queueNumbers),
            array(kept.map(({ job }) => job.enqueuedAt)),
            array(kept.map(({ keepMs }) => keepMs)),
            join(kept, ({ result }) => result ?? ''),
            kept.some(({ past }) => past !== undefined) ? join(kept, ({ past }) => past ?? '') : null,
          ]),
      packed.length === 0 ? null : JSON.stringify(packed),
    ],
    accepted: (masks) =>
      settlements.map((settlement) => first.has(settlement) && masks[atOf(settlement.job) - 1]?.[settlement.job.position] === '1'),
    handedBack: moves.flatMap((move, index) =>
      move.kind === 'release' && move.lane === 'usual' ? [{ queue: moveQueues[index] as number, rank: move.job.rank }] : [],
    ),
  };
}

function packMove(settlement: Exclude<Settlement, { kind: 'end' }>, at: number, queue: number): Record<string, unknown> {
  const { job, kind } = settlement;
  const past = settlement.past ?? job.past;
  if (past?.includes(separator) === true) throw new TaktlineError('INVALID_INPUT', 'a past holds the record separator');
  return {
    at,
    position: job.position,
    kind,
    id: job.id,
    queue,
    rank: job.rank,
    enqueued: job.enqueuedAt,
    envelope: job.envelope,
    past,
    ...(kind === 'bury' ? {} : { expires: job.expiresAt }),
    ...(kind === 'release' ? { lane: laneNumber(settlement.lane) } : {}),
    ...(kind === 'reschedule' ? { delay: settlement.delayMs } : {}),
    // A dead letter is the last resort: what it says must not keep it from being stored.
    ...(kind === 'bury' ? { task: storable(settlement.task), code: storable(settlement.code), message: storable(settlement.message) } : {}),
  };
}

/** Without what Postgres takes into no text: NUL, and half of a surrogate pair. */
function storable(text: string): string {
  return text.toWellFormed().replaceAll('\0', '\ufffd');
}
