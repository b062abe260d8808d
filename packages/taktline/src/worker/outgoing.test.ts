/** Settlements on their way: those of a claim wait for each other, for a while; none gets lost and none goes twice. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { claimedJob } from '../../test/support/claimed-job.ts';
import type { Settlement } from '../broker/broker.ts';
import { Outgoing, patienceMs } from './outgoing.ts';

const ended = (claim: string, position = 0): Settlement => ({
  kind: 'end',
  job: claimedJob('work', null, { claim, position, id: `${claim}/${position}` }),
  state: 'succeeded',
  keepMs: 0,
});
const ids = (settlements: readonly Settlement[]) => settlements.map(({ job }) => job.id);

function make() {
  const clock = { now: 1_000 };
  return { clock, outgoing: new Outgoing(() => clock.now) };
}

describe('a claim', () => {
  it('goes as soon as it is finished', () => {
    const { outgoing } = make();
    outgoing.expect('a', 2);
    outgoing.add(ended('a', 0));
    expect(outgoing.take(false)).toEqual([]);
    expect(outgoing.dueInMs()).toBe(patienceMs);
    outgoing.add(ended('a', 1));
    expect(outgoing.dueInMs()).toBe(0);
    expect(ids(outgoing.take(false))).toEqual(['a/0', 'a/1']);
    expect([outgoing.size, outgoing.whole, outgoing.claims(), outgoing.dueInMs()]).toEqual([0, 0, [], undefined]);
  });

  it('that is not finished goes in part when its first settlement has waited long enough, and not before', () => {
    const { outgoing, clock } = make();
    outgoing.expect('a', 3);
    outgoing.add(ended('a', 0));
    clock.now += patienceMs - 1;
    outgoing.add(ended('a', 1));
    expect(outgoing.take(false)).toEqual([]);
    clock.now += 1;
    expect(outgoing.dueInMs()).toBe(0);
    expect(ids(outgoing.take(false))).toEqual(['a/0', 'a/1']);
    expect(outgoing.claims()).toEqual(['a']);
    outgoing.add(ended('a', 2));
    expect(outgoing.dueInMs()).toBe(0);
    expect(ids(outgoing.take(false))).toEqual(['a/2']);
    expect(outgoing.claims()).toEqual([]);
  });

  it('goes in part at once when all is asked for', () => {
    const { outgoing } = make();
    outgoing.expect('a', 2);
    outgoing.expect('b', 1);
    outgoing.add(ended('a', 1));
    outgoing.add(ended('b', 0));
    expect(ids(outgoing.take(true)).toSorted()).toEqual(['a/1', 'b/0']);
  });

  it('that is finished does not wait for one that is not', () => {
    const { outgoing } = make();
    outgoing.expect('a', 2);
    outgoing.expect('b', 1);
    outgoing.add(ended('a', 0));
    outgoing.add(ended('b', 0));
    expect(ids(outgoing.take(false))).toEqual(['b/0']);
    expect(outgoing.size).toBe(1);
  });
});

it('what came back goes first thing, and its claim is known until then', () => {
  const { outgoing } = make();
  outgoing.expect('a', 1);
  outgoing.add(ended('a'));
  const taken = outgoing.take(false);
  outgoing.putBack(taken);
  expect(outgoing.claims()).toEqual(['a']);
  expect(outgoing.dueInMs()).toBe(0);
  expect(ids(outgoing.take(false))).toEqual(['a/0']);
});

it('what settles a claim that was forgotten is dropped: the broker would refuse it', () => {
  const { outgoing } = make();
  outgoing.expect('a', 2);
  outgoing.add(ended('a', 0));
  outgoing.clear();
  outgoing.add(ended('a', 1));
  expect([outgoing.size, outgoing.dueInMs(), outgoing.take(true)]).toEqual([0, undefined, []]);
});

it('however it is used, each settlement goes exactly once, and a failed one again', () => {
  type Step = readonly ['expect' | 'settle' | 'take' | 'takeAll' | 'fail' | 'wait', number];
  const step = fc.tuple(fc.constantFrom('expect', 'settle', 'settle', 'settle', 'take', 'takeAll', 'fail', 'wait'), fc.nat({ max: 9 }));
  fc.assert(
    fc.property(fc.array(step as fc.Arbitrary<Step>, { maxLength: 80 }), (steps) => {
      const { outgoing, clock } = make();
      const open: Settlement[] = [];
      const waiting = new Set<string>();
      const sent = new Map<string, number>();
      const underWay: Settlement[][] = [];
      let claims = 0;
      for (const [kind, n] of steps) {
        if (kind === 'expect') {
          claims += 1;
          outgoing.expect(`c${claims}`, n + 1);
          for (let position = 0; position <= n; position++) open.push(ended(`c${claims}`, position));
        } else if (kind === 'settle' && open.length > 0) {
          const [settlement] = open.splice(n % open.length, 1) as [Settlement];
          outgoing.add(settlement);
          waiting.add(settlement.job.id);
        } else if (kind === 'take' || kind === 'takeAll') {
          const due = outgoing.dueInMs();
          const taken = outgoing.take(kind === 'takeAll');
          if (kind === 'take') expect(taken.length > 0).toBe(due === 0);
          else expect(taken).toHaveLength(waiting.size);
          for (const { job } of taken) {
            expect(waiting.delete(job.id)).toBe(true);
            sent.set(job.id, (sent.get(job.id) ?? 0) + 1);
          }
          if (taken.length > 0) underWay.push(taken);
        } else if (kind === 'fail' && underWay.length > 0) {
          const [back] = underWay.splice(n % underWay.length, 1) as [Settlement[]];
          outgoing.putBack(back);
          for (const { job } of back) {
            waiting.add(job.id);
            sent.set(job.id, (sent.get(job.id) as number) - 1);
          }
        } else if (kind === 'wait') clock.now += n;
        expect(outgoing.size).toBe(waiting.size);
        expect(outgoing.whole).toBeLessThanOrEqual(waiting.size);
        expect(outgoing.dueInMs() === undefined).toBe(waiting.size === 0);
      }
      for (const settlement of open) {
        outgoing.add(settlement);
        waiting.add(settlement.job.id);
      }
      for (const { job } of outgoing.take(false)) {
        expect(waiting.delete(job.id)).toBe(true);
        sent.set(job.id, (sent.get(job.id) ?? 0) + 1);
      }
      // All claims are finished, so nothing waits for anything.
      expect([...waiting]).toEqual([]);
      expect(outgoing.claims()).toEqual([]);
      expect([...sent.values()].every((times) => times === 1)).toBe(true);
    }),
    { numRuns: 300 },
  );
});
