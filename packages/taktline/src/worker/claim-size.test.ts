/** How much a worker claims, and when. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { claimSize, type Holding } from './claim-size.ts';

const none: Holding = { slots: 4, ahead: 0, held: 0, running: 0, requested: 0 };

it('is what the slots take, as long as nothing is known of the jobs', () => {
  expect(claimSize(none)).toBe(4);
  expect(claimSize({ ...none, running: 3 })).toBe(1);
  expect(claimSize({ ...none, running: 4 })).toBe(0);
});

it('is a half of what fast jobs call for; the other half travels beside it', () => {
  for (const ahead of [1_000, 999, 500, 17, 2]) {
    const one = claimSize({ ...none, slots: 1, ahead });
    expect(one).toBe(Math.ceil((ahead + 1) / 2));
    expect(claimSize({ ...none, slots: 1, ahead, requested: one })).toBe(ahead + 1 - one);
  }
});

it('waits for a good part to be wanted while there is something to start', () => {
  expect(claimSize({ ...none, ahead: 100, held: 60 })).toBe(0);
  expect(claimSize({ ...none, ahead: 100, held: 54 })).toBe(50);
});

it('never comes to more than the slots and a thousand', () => {
  const count = fc.nat({ max: 3_000 });
  fc.assert(
    fc.property(
      fc.record({ slots: fc.integer({ min: 1, max: 500 }), ahead: count, held: count, running: count, requested: count }),
      (holding) => {
        const limit = claimSize(holding);
        expect(limit).toBeGreaterThanOrEqual(0);
        if (limit > 0) expect(limit + holding.held + holding.running + holding.requested).toBeLessThanOrEqual(holding.slots + 1_000);
      },
    ),
  );
});

it('is never nothing for an idle worker', () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 500 }), fc.nat(3_000), (slots, ahead) => claimSize({ ...none, slots, ahead }) > 0));
});
