/** When a failed attempt is tried again: the specification's table, its jitter, and each other way to say it. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Duration } from '../support/durations.ts';
import { PermanentError } from './outcome.ts';
import { type Backoff, type RetryOptions, retryPolicy } from './retry-policy.ts';

const anError = new Error('refused');

describe('the default', () => {
  it('is five attempts, at once and after 60, 120, 240 and 480 s', () => {
    const policy = retryPolicy({}, () => 0);
    expect(policy.maxAttempts).toBe(5);
    expect([1, 2, 3, 4].map((failures) => policy.delayMs(failures, anError))).toEqual([60_000, 120_000, 240_000, 480_000]);
  });

  it('adds at most a tenth at random, and never takes anything away', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), fc.integer({ min: 1, max: 4 }), (random, failures) => {
        const table = 60_000 * 2 ** (failures - 1);
        const delayMs = retryPolicy({}, () => random).delayMs(failures, anError);
        expect(delayMs).toBeGreaterThanOrEqual(table);
        expect(delayMs).toBeLessThanOrEqual(table * 1.1);
        expect(delayMs).toBe(Math.round(table * (1 + 0.1 * random)));
      }),
    );
  });

  it('draws the jitter anew each time, so that jobs which failed together do not return together', () => {
    const policy = retryPolicy();
    expect(new Set(Array.from({ length: 50 }, () => policy.delayMs(4, anError))).size).toBeGreaterThan(10);
  });
});

describe('backoff', () => {
  const delays = (backoff: Backoff, failures: readonly number[], options: RetryOptions = {}) => {
    const policy = retryPolicy({ jitter: 0, ...options, backoff });
    return failures.map((count) => policy.delayMs(count, anError));
  };

  it('exponential: initial times factor to the power of the failures before, at most max', () => {
    expect(delays({ type: 'exponential', initial: '1s', factor: 3, max: '20s' }, [1, 2, 3, 4, 5])).toEqual([
      1_000, 3_000, 9_000, 20_000, 20_000,
    ]);
    expect(delays({ type: 'exponential', initial: '1s' }, [1, 2, 3])).toEqual([1_000, 2_000, 4_000]);
  });

  it('exponential: never longer than a day, however many failures there were', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1_000 }), fc.double({ min: 1, max: 100, noNaN: true }), (failures, factor) => {
        const [delayMs] = delays({ type: 'exponential', initial: '60s', factor }, [failures]);
        expect(delayMs).toBeGreaterThanOrEqual(60_000);
        expect(delayMs).toBeLessThanOrEqual(86_400_000);
      }),
    );
  });

  it('fixed: the same each time', () => {
    expect(delays({ type: 'fixed', delay: '30s' }, [1, 2, 9])).toEqual([30_000, 30_000, 30_000]);
  });

  it('a function is asked with the failures so far and the error', () => {
    const asked: unknown[] = [];
    const backoff: Backoff = (failures, error) => {
      asked.push([failures, error]);
      return failures === 1 ? '1s' : 5;
    };
    expect(delays(backoff, [1, 2])).toEqual([1_000, 5]);
    expect(asked).toEqual([
      [1, anError],
      [2, anError],
    ]);
  });

  it('what a function returns is checked', () => {
    const policy = retryPolicy({ backoff: () => 'soon' as Duration });
    expect(() => policy.delayMs(1, anError)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  });
});

describe('giving up', () => {
  class Gone extends Error {}
  class LongGone extends Gone {}

  it('PermanentError always is, and its subclasses', () => {
    class NoSuchAddress extends PermanentError {}
    for (const giveUpOn of [undefined, [], () => false] as const) {
      const policy = retryPolicy(giveUpOn === undefined ? {} : { giveUpOn });
      expect(policy.givesUpOn(new PermanentError('no'))).toBe(true);
      expect(policy.givesUpOn(new NoSuchAddress('no'))).toBe(true);
      expect(policy.givesUpOn(anError)).toBe(false);
    }
  });

  it('classes, with their subclasses', () => {
    const policy = retryPolicy({ giveUpOn: [Gone, TypeError] });
    expect([new Gone('x'), new LongGone('x'), new TypeError('x')].map(policy.givesUpOn)).toEqual([true, true, true]);
    expect([new Error('x'), new RangeError('x'), 'Gone', undefined].map(policy.givesUpOn)).toEqual([false, false, false, false]);
  });

  it('a function', () => {
    const policy = retryPolicy({ giveUpOn: (error) => (error as { status?: number }).status === 410 });
    expect(policy.givesUpOn(Object.assign(new Error('gone'), { status: 410 }))).toBe(true);
    expect(policy.givesUpOn(Object.assign(new Error('busy'), { status: 503 }))).toBe(false);
  });
});

describe('waiting', () => {
  class Away extends Error {}

  it('is for the errors that are named, and never for a PermanentError', () => {
    expect(retryPolicy().waitsOn(new Away('x'))).toBe(false);
    const byClass = retryPolicy({ waitOn: [Away] });
    expect([new Away('x'), new Error('x'), undefined].map(byClass.waitsOn)).toEqual([true, false, false]);
    const byFunction = retryPolicy({ waitOn: () => true });
    expect([new Error('x'), new PermanentError('x')].map(byFunction.waitsOn)).toEqual([true, false]);
  });
});

it.each<[string, RetryOptions]>([
  ['maxAttempts', { maxAttempts: 0 }],
  ['maxAttempts', { maxAttempts: 2.5 }],
  ['maxAttempts', { maxAttempts: 1_001 }],
  ['maxAttempts', { maxAttempts: Number.NaN }],
  ['jitter', { jitter: -0.1 }],
  ['jitter', { jitter: 1.1 }],
  ['jitter', { jitter: Number.NaN }],
  ['backoff.type', { backoff: { type: 'linear' } as unknown as Backoff }],
  ['backoff.delay', { backoff: { type: 'fixed', delay: -1 } }],
  ['backoff.initial', { backoff: { type: 'exponential', initial: 'soon' as Duration } }],
  ['backoff.factor', { backoff: { type: 'exponential', initial: '1s', factor: 0.5 } }],
  ['backoff.factor', { backoff: { type: 'exponential', initial: '1s', factor: Number.NaN } }],
  ['backoff.max', { backoff: { type: 'exponential', initial: '1s', max: -5 } }],
])('refuses a wrong retry.%s when it is given: %j', (name, options) => {
  expect(() => retryPolicy(options)).toThrow(
    expect.objectContaining({ code: 'INVALID_OPTION', message: expect.stringContaining(`retry.${name}`) as string }),
  );
});
