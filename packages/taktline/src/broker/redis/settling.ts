/**
 * Settlements as arguments of exchange.lua: for each claim a mask of the jobs that are settled, the records of it that
 * ended whole and alike, and the other jobs one by one.
 */
import { groupBy } from '../../support/group-by.ts';
import type { Settlement } from '../broker.ts';
import { laneNumber } from '../codes.ts';
import { checkText } from '../job-texts.ts';
import { letterHead, runOf, separator } from './records.ts';

type Ended = Extract<Settlement, { kind: 'end' }>;

export interface ClaimSettling {
  readonly queue: string;
  readonly claim: string;
  /** Behind the number of the queue. */
  readonly values: readonly string[];
  /** Whether each of its settlements was accepted, in the order given; a job that stands twice is settled by the first. */
  accepted(mask: string): readonly boolean[];
  /** The place of each in the settlements that were given. */
  readonly places: readonly number[];
}

export function packSettlements(settlements: readonly Settlement[]): readonly ClaimSettling[] {
  const groups = groupBy(settlements.keys(), (place) => {
    const { job } = settlements[place] as Settlement;
    return `${job.queue} ${job.claim}`;
  });
  return [...groups.values()].map((places) =>
    packClaim(
      places.map((place) => settlements[place] as Settlement),
      places,
    ),
  );
}

function packClaim(list: readonly Settlement[], places: readonly number[]): ClaimSettling {
  const byPosition: (Settlement | undefined)[] = [];
  const first = list.map((settlement) => {
    const { position } = settlement.job;
    const { start, size } = runOf(settlement.job);
    // A place that is not there.
    if (position < start || position >= start + size) return false;
    if (byPosition[position] !== undefined) return false;
    while (byPosition.length <= position) byPosition.push(undefined);
    byPosition[position] = settlement;
    return true;
  });
  let mask = '';
  for (const settlement of byPosition) mask += settlement === undefined ? '0' : '1';
  const whole: string[] = [];
  const others: Record<string, unknown>[] = [];
  let wholes = 0;
  for (let position = 0; position < byPosition.length; ) {
    const settlement = byPosition[position];
    if (settlement === undefined) {
      position += 1;
      continue;
    }
    const { number, start, size } = runOf(settlement.job);
    const run = byPosition.slice(position, start + size);
    if (position === start && alike(run, size)) {
      const ends = run as readonly Ended[];
      const head = ends[0] as Ended;
      whole.push(
        String(number),
        head.state === 'succeeded' ? 's' : 'c',
        String(head.keepMs),
        lines(ends, ({ result }) => result ?? ''),
        ends.some(({ past }) => past !== undefined) ? lines(ends, ({ past }) => past ?? '') : '',
      );
      wholes += 1;
    } else for (const one of run) if (one !== undefined) others.push(packOne(one));
    position = start + size;
  }
  const { job } = list[0] as Settlement;
  return {
    queue: job.queue,
    claim: job.claim,
    places,
    values: [job.claim, mask, String(wholes), ...whole, others.length === 0 ? '' : JSON.stringify(others)],
    accepted: (bits) => list.map((settlement, index) => first[index] === true && bits[settlement.job.position] === '1'),
  };
}

/** Whether all jobs of a record have ended, in the same way. */
function alike(run: readonly (Settlement | undefined)[], size: number): boolean {
  const [head] = run;
  if (run.length < size || head?.kind !== 'end') return false;
  return run.every((one) => one?.kind === 'end' && one.state === head.state && one.keepMs === head.keepMs);
}

function lines(run: readonly Ended[], text: (settlement: Ended) => string): string {
  let joined = '';
  for (const [index, settlement] of run.entries()) {
    const own = text(settlement);
    checkText(own, 'a result or a past');
    joined += index === 0 ? own : separator + own;
  }
  return joined;
}

function packOne(settlement: Settlement): Record<string, unknown> {
  const { job, kind } = settlement;
  const { position } = job;
  const past = settlement.past ?? job.past;
  const texts = kind === 'end' ? [past, settlement.result] : [past];
  for (const text of texts) {
    if (text !== undefined) checkText(text, 'a result or a past');
  }
  if (kind === 'end')
    return {
      position,
      kind,
      state: settlement.state === 'succeeded' ? 's' : 'c',
      keep: settlement.keepMs,
      result: settlement.result,
      past: settlement.past,
    };
  const shared = { position, kind, past, enqueued: job.enqueuedAt, envelope: job.envelope };
  if (kind === 'release') {
    const ready = job.readyAt === job.enqueuedAt ? undefined : job.readyAt;
    return { ...shared, lane: laneNumber(settlement.lane), ready, expires: job.expiresAt };
  }
  if (kind === 'reschedule') return { ...shared, delay: settlement.delayMs, expires: job.expiresAt };
  return { ...shared, letter: letterHead(settlement, { enqueued: job.enqueuedAt }) };
}
