/** How many jobs may be held ahead: fast tasks earn it slowly, one slow task takes it away at once. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Throughput } from './throughput.ts';

function make(slots = 4) {
  const clock = { now: 0 };
  const throughput = new Throughput(
    () => slots,
    () => clock.now,
  );
  /** Runs `count` jobs in a row that take `ms` each. */
  const run = (count: number, ms: number) => {
    throughput.busy();
    for (let job = 0; job < count; job++) {
      clock.now += ms;
      throughput.finished();
    }
  };
  return { clock, throughput, run };
}

it('expects nothing before it has seen anything', () => {
  const { throughput, clock } = make();
  expect(throughput.expected(1_000)).toBe(0);
  throughput.busy();
  clock.now += 50;
  expect(throughput.expected(1_000)).toBe(0);
});

it('comes to expect what was finished lately', () => {
  const { throughput, run } = make();
  run(2_000, 0.5);
  expect(throughput.expected(20)).toBeCloseTo(40, 0);
  run(2_000, 2);
  expect(throughput.expected(20)).toBeCloseTo(10, 0);
});

it('rises slowly', () => {
  const { throughput, run } = make();
  run(16, 100);
  const before = throughput.expected(1_000);
  run(16, 1);
  const after = throughput.expected(1_000);
  expect(after).toBeGreaterThan(before);
  expect(after).toBeLessThan(1_000 * 0.4);
});

it('falls at once, while the slow job still runs', () => {
  const { throughput, clock, run } = make();
  run(2_000, 0.5);
  clock.now += 1_000;
  expect(throughput.expected(20)).toBeLessThan(1);
});

it('falls as fast when the window of the slow job began with many fast ones', () => {
  const { throughput, clock, run } = make();
  run(5_000, 0.01);
  // Less than a window's time: all of these stand in it.
  run(300, 0.01);
  clock.now += 500;
  expect(throughput.expected(100)).toBeLessThanOrEqual(1);
});

it('keeps its figure for jobs that end in bursts, all slots at once', () => {
  const { throughput, clock } = make(100);
  throughput.busy();
  for (let burst = 0; burst < 50; burst++) {
    clock.now += 50;
    for (let job = 0; job < 100; job++) throughput.finished();
  }
  clock.now += 49;
  expect(throughput.expected(20)).toBeGreaterThan(20);
  expect(throughput.expected(20)).toBeLessThan(50);
});

it('counts no idle time', () => {
  const { throughput, clock, run } = make();
  run(2_000, 0.5);
  throughput.idle();
  const before = throughput.expected(20);
  clock.now += 3_600_000;
  throughput.busy();
  expect(throughput.expected(20)).toBeCloseTo(before, 5);
});

it('says little of a window that is young', () => {
  const { throughput, clock, run } = make();
  run(1_600, 0.5);
  throughput.idle();
  throughput.busy();
  const before = throughput.expected(20);
  clock.now += 4.9;
  expect(throughput.expected(20)).toBe(before);
});

it('is a number from 0 up, whatever happens, and never more than was seen', () => {
  const step = fc.tuple(fc.constantFrom('busy', 'idle', 'finished', 'finished', 'finished'), fc.double({ min: 0, max: 50, noNaN: true }));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const { throughput, clock } = make();
      for (const [kind, ms] of steps) {
        clock.now += ms;
        throughput[kind as 'busy' | 'idle' | 'finished']();
        const expected = throughput.expected(20);
        expect(expected).toBeGreaterThanOrEqual(0);
        // A window is taken to last 0.05 ms at least, and no window here has more jobs than there were steps.
        expect(expected).toBeLessThanOrEqual((steps.length / 0.05) * 20);
      }
    }),
  );
});
