/** What a task is given: its signal, its log, its progress, and how sensitive values stay out of the last two. */
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { claimedJob } from '../../test/support/claimed-job.ts';
import { LogLines } from '../../test/support/log-lines.ts';
import { Effects } from '../outbox/effects.ts';
import { TaktlineError } from '../support/taktline-error.ts';
import { defineTask, type InputSchema } from '../task/task.ts';
import { JobContext, ShutdownSignal } from './context.ts';

function make(schema?: InputSchema, input?: unknown) {
  const log = new LogLines();
  const ctx = new JobContext(claimedJob('work', input, { id: 'job-a' }), {
    worker: 'w@here',
    logger: log.logger,
    startedAt: 5_000,
    leaseMs: 30_000,
    effects: new Effects('taktline_outbox'),
  });
  ctx.definition = defineTask({ name: 'work', queue: 'work', run: () => null, ...(schema && { input: schema }) });
  ctx.input = input;
  return { ctx, log };
}

const cancelled = new TaktlineError('JOB_CANCELLED', 'the job was cancelled');

describe('the signal', () => {
  it('aborts with the reason, be it asked for before or after', () => {
    const early = make().ctx;
    const { signal } = early;
    let heard: unknown;
    signal.addEventListener('abort', () => {
      heard = signal.reason;
    });
    early.abort(cancelled);
    expect(heard).toBe(cancelled);

    const late = make().ctx;
    late.abort(cancelled);
    expect(late.signal.aborted).toBe(true);
    expect(late.signal.reason).toBe(cancelled);
  });

  it('keeps the first reason', () => {
    const { ctx } = make();
    ctx.abort(cancelled);
    ctx.abort(new ShutdownSignal('the worker stops'));
    expect(ctx.signal.reason).toBe(cancelled);
    expect(ctx.stopReason).toBe(cancelled);
  });

  it('is one and the same, and quiet as long as nobody asks', () => {
    const { ctx } = make();
    expect(ctx.signal).toBe(ctx.signal);
    expect(ctx.signal.aborted).toBe(false);
    expect(ctx.stopReason).toBeUndefined();
  });
});

describe('heartbeat()', () => {
  it('lets other work of the process go on', async () => {
    const { ctx } = make();
    let turned = false;
    setImmediate(() => {
      turned = true;
    });
    await ctx.heartbeat();
    expect(turned).toBe(true);
  });

  it('throws the reason when the attempt should stop', async () => {
    const { ctx } = make();
    ctx.abort(cancelled);
    await expect(ctx.heartbeat()).rejects.toBe(cancelled);
  });
});

describe('progress()', () => {
  it('keeps the newest value, as JSON', () => {
    const { ctx } = make();
    ctx.progress({ done: 1 });
    ctx.progress({ done: 2 });
    expect(ctx.told).toBe('{"done":2}');
    ctx.progress(undefined);
    expect(ctx.told).toBe('null');
  });

  it('refuses what is large, and what is no JSON', () => {
    const { ctx } = make();
    ctx.progress('kept');
    for (const value of ['x'.repeat(10_000), () => 1, Symbol('x')]) {
      expect(() => ctx.progress(value)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
    }
    expect(ctx.told).toBe('"kept"');
  });

  it('shows no sensitive value', () => {
    const { ctx } = make(z.object({ email: z.string().meta({ sensitive: true }) }), { email: 'ann@example.com' });
    ctx.progress({ at: 'ann@example.com' });
    expect(ctx.told).toBe('{"at":"[masked]"}');
  });
});

describe('the log', () => {
  it('adds the job, task, attempt and worker to each line', () => {
    const { ctx, log } = make();
    ctx.attempt = 3;
    for (const level of ['debug', 'info', 'warn', 'error'] as const) ctx.log[level]('sent', { to: 5 });
    expect(log.lines.map((line) => line.level)).toEqual(['debug', 'info', 'warn', 'error']);
    expect(log.lines[0]).toMatchObject({ message: 'sent', job: 'job-a', task: 'work', attempt: 3, worker: 'w@here', to: 5 });
  });

  it('cuts sensitive values out of messages and fields, keys included, however deep', () => {
    const { ctx, log } = make(z.object({ email: z.string().meta({ sensitive: true }), pin: z.number().meta({ sensitive: true }) }), {
      email: 'ann@example.com',
      pin: 4711,
    });
    ctx.log.warn('refused ann@example.com', { deep: [{ to: 'ann@example.com' }], 'ann@example.com': 1, pin: 'pin 4711' });
    expect(log.raw.join('')).not.toMatch(/ann@|4711/);
    expect(log.lines[0]).toMatchObject({ message: 'refused [masked]', deep: [{ to: '[masked]' }], '[masked]': 1, pin: 'pin [masked]' });
  });

  it('leaves fields out that cannot be masked, rather than show them', () => {
    const { ctx, log } = make(z.object({ pin: z.number().meta({ sensitive: true }) }), { pin: 4711 });
    const circle: Record<string, unknown> = { pin: 4711 };
    circle['self'] = circle;
    ctx.log.info('a circle', circle);
    ctx.log.info('a number', { pin: 4711 });
    ctx.log.info('a BigInt', { n: 1n, pin: 4711 });
    expect(log.raw.join('')).not.toContain('4711');
    expect(log.lines.map((line) => line['fields'])).toEqual(Array.from({ length: 3 }, () => expect.stringContaining('left out') as string));
  });

  it('never fails the task that wrote it', () => {
    const { ctx, log } = make();
    ctx.log.info('a BigInt', { n: 1n });
    ctx.log.info(undefined as unknown as string);
    expect(log.lines).toHaveLength(2);
  });
});

describe('scrub()', () => {
  it('shows nothing when it cannot scrub', () => {
    let deep: unknown = 'secret';
    for (let depth = 0; depth < 50_000; depth++) deep = [deep];
    const mute: InputSchema = { '~standard': { version: 1, vendor: 'by hand', validate: (value) => ({ value }) } };
    const { ctx } = make(mute);
    ctx.input = deep;
    expect(ctx.scrub('the secret')).toBe('[masked]');
  });
});
