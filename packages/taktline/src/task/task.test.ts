/** A task's definition: the defaults, and that a wrong option is refused by name when it is given. */
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { Duration } from '../support/durations.ts';
import { defineTask, type InputSchema, type TaskOptions } from './task.ts';

const base = { name: 'email.send', queue: 'email.normal', run: () => null } as const;
const define = (options: Partial<TaskOptions<InputSchema | undefined, unknown>>) => defineTask({ ...base, ...options });

it('fills in the defaults', () => {
  expect(defineTask(base)).toMatchObject({
    name: 'email.send',
    queue: 'email.normal',
    input: undefined,
    timeLimitMs: 600_000,
    softTimeLimitMs: 600_000,
    resultTtlMs: 3_600_000,
    priority: 5,
    inputVersion: 1,
    retry: { maxAttempts: 5 },
    sensitivity: { paths: [] },
  });
});

it('takes what it is given', () => {
  expect(
    define({ softTimeLimit: '20s', timeLimit: '30s', resultTtl: '7d', priority: 10, inputVersion: 3, retry: { maxAttempts: 2 } }),
  ).toMatchObject({
    softTimeLimitMs: 20_000,
    timeLimitMs: 30_000,
    resultTtlMs: 604_800_000,
    priority: 10,
    inputVersion: 3,
    retry: { maxAttempts: 2 },
  });
  expect(define({ resultTtl: false }).resultTtlMs).toBe(0);
  expect(define({ timeLimit: '5s' }).softTimeLimitMs).toBe(5_000);
});

describe('refuses', () => {
  it.each<[string, Partial<TaskOptions<InputSchema | undefined, unknown>>]>([
    ['name', { name: '' }],
    ['name', { name: '1st' }],
    ['name', { name: '../x' }],
    ['name', { name: 'a b' }],
    ['name', { name: 'a\n' }],
    ['name', { name: `a${'b'.repeat(200)}` }],
    ['name', { name: 7 as unknown as string }],
    ['queue', { queue: '' }],
    ['queue', { queue: 'a{b}' }],
    ['run', { run: 'code' as unknown as () => null }],
    ['input', { input: { parse: () => 1 } as unknown as InputSchema }],
    ['input', { input: null as unknown as InputSchema }],
    ['timeLimit', { timeLimit: 'soon' as Duration }],
    ['timeLimit', { timeLimit: 0 }],
    ['softTimeLimit', { softTimeLimit: '2s', timeLimit: '1s' }],
    ['softTimeLimit', { softTimeLimit: 0 }],
    ['resultTtl', { resultTtl: '8d' }],
    ['resultTtl', { resultTtl: -1 }],
    ['priority', { priority: 0 }],
    ['priority', { priority: 11 }],
    ['priority', { priority: 5.5 }],
    ['inputVersion', { inputVersion: 0 }],
    ['inputVersion', { inputVersion: 1.5 }],
    ['retry.maxAttempts', { retry: { maxAttempts: 0 } }],
  ])('a wrong %s: %j', (name, options) => {
    expect(() => define(options)).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION', message: expect.stringContaining(name) as string }),
    );
  });
});

it('takes any Standard Schema', () => {
  const handmade: InputSchema = { '~standard': { version: 1, vendor: 'by hand', validate: (value) => ({ value }) } };
  expect(define({ input: handmade }).input).toBe(handmade);
  expect(define({ input: z.object({}) }).input).toBeDefined();
});
