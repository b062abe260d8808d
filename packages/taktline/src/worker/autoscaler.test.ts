/** When the pool grows and shrinks, and by how much. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LogLines } from '../../test/support/log-lines.ts';
import { Autoscaler, type Bounds, checkBounds, decide, type Load, quietMs } from './autoscaler.ts';

const bounds: Bounds = { min: 1, max: 8, targetWaitMs: 5_000 };
const load = (more: Partial<Load> = {}): Load => ({
  waiting: 0,
  oldestWaitMs: undefined,
  size: 4,
  slots: 4,
  running: 4,
  peak: 4,
  perSecond: 10,
  ...more,
});

describe('a decision', () => {
  it('grows to what the backlog needs to start within half of the target', () => {
    // 40 jobs at 10 a second take 4 s; within 2.5 s it takes 4 / 2.5 * 4 children.
    expect(decide(load({ waiting: 40, oldestWaitMs: 100 }), bounds)?.size).toBe(7);
    expect(decide(load({ waiting: 20, oldestWaitMs: 100 }), bounds)).toBeUndefined();
  });

  it('grows to twice the size at most, and doubles while nothing has ended', () => {
    expect(decide(load({ waiting: 10_000, oldestWaitMs: 9_000 }), { ...bounds, max: 100 })?.size).toBe(8);
    expect(decide(load({ size: 1, slots: 1, running: 1, waiting: 1, perSecond: 0, oldestWaitMs: 10 }), bounds)?.size).toBe(2);
  });

  it('grows by one when the oldest has waited for half of the target, whatever the rate promises', () => {
    expect(decide(load({ waiting: 1, oldestWaitMs: 2_600 }), bounds)?.size).toBe(5);
  });

  it('does not grow while slots are free: what waits is on its way to them', () => {
    expect(decide(load({ waiting: 100, oldestWaitMs: 4_000, running: 3 }), bounds)).toBeUndefined();
  });

  it('shrinks to what was busy at most, and a fifth of it free, by half at most', () => {
    expect(decide(load({ size: 8, slots: 8, running: 1, peak: 2 }), bounds)?.size).toBe(4);
    expect(decide(load({ size: 8, slots: 8, running: 1, peak: 5 }), bounds)?.size).toBe(7);
    expect(decide(load({ size: 4, slots: 40, running: 0, peak: 20 }), bounds)?.size).toBe(3);
    expect(decide(load({ size: 1, slots: 1, running: 0, peak: 0 }), bounds)).toBeUndefined();
  });

  it('keeps within the bounds, comes back into them, and never flaps between two sizes for one load', () => {
    const figure = fc.integer({ min: 0, max: 1_000 });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        figure,
        figure,
        figure,
        fc.integer({ min: 1, max: 50 }),
        (size, waiting, wait, perSecond, each) => {
          const slots = size * each;
          const busy = load({ size, slots, running: slots, peak: slots, waiting, oldestWaitMs: wait * 20, perSecond });
          const more = decide(busy, bounds);
          if (more === undefined) return;
          expect(more.size).toBeGreaterThanOrEqual(bounds.min);
          expect(more.size).toBeLessThanOrEqual(bounds.max);
          if (more.size <= size) return;
          // What was busy keeps that much of the new pool busy: it must not be taken back for that alone.
          const after = decide({ ...busy, size: more.size, slots: more.size * each, peak: more.size * each, waiting: 0 }, bounds);
          expect(after?.size ?? more.size).toBe(more.size);
        },
      ),
    );
  });
});

it('looks before it leaps: shrinks only after it has been quiet long enough, and says why', async () => {
  const log = new LogLines();
  let now = 0;
  const sizes: number[] = [];
  let state = { size: 4, slots: 4, running: 4, finished: 0 };
  const scaler = new Autoscaler({
    bounds,
    logger: log.logger,
    backlog: async () => ({ waiting: 0, oldestWaitMs: undefined }),
    state: () => state,
    resize: (size) => {
      sizes.push(size);
      state = { ...state, size, slots: size };
    },
    failed: () => undefined,
    now: () => now,
  });
  await scaler.look();
  state = { ...state, running: 0 };
  for (now = 1_000; now <= quietMs; now += 1_000) await scaler.look();
  expect(sizes).toEqual([]);
  now += 1;
  await scaler.look();
  expect(sizes).toEqual([2]);
  expect(log.with('autoscale: fewer')[0]).toMatchObject({ from: 4, to: 2, reason: 'at most 0 of 4 slots were busy in the last 10 s' });
});

it('refuses bounds that are none', () => {
  for (const wrong of [{ min: 0 }, { max: 0 }, { min: 9 }, { max: 1.5 }, { targetWaitMs: 5 }]) {
    expect(() => checkBounds({ ...bounds, ...wrong })).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  }
});
