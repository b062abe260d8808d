/** One job, one settlement: whatever the task does, and whatever the job holds. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { claimedJob } from '../../test/support/claimed-job.ts';
import { LogLines } from '../../test/support/log-lines.ts';
import type { ClaimedJob, Settlement } from '../broker/broker.ts';
import { Effects } from '../outbox/effects.ts';
import { TaktlineError } from '../support/taktline-error.ts';
import { decodePast, encodePast, type JobPast, noPast } from '../task/job.ts';
import { discard, PermanentError, retryLater } from '../task/outcome.ts';
import { TaskRegistry } from '../task/registry.ts';
import { defineTask, type InputSchema, type TaskContext, type TaskOptions } from '../task/task.ts';
import { type JobContext, ShutdownSignal } from './context.ts';
import { describeError, Executor } from './executor.ts';

const graceMs = 3_600_000;

function make(options: Partial<TaskOptions<InputSchema | undefined, unknown>> = {}) {
  const tasks = new TaskRegistry();
  tasks.add(
    defineTask({
      name: 'work',
      queue: 'work',
      retry: { maxAttempts: 3, backoff: { type: 'fixed', delay: '10s' }, jitter: 0 },
      run: () => null,
      ...options,
    }),
  );
  const log = new LogLines();
  const clock = { now: 5_000 };
  const executor = new Executor({
    tasks,
    worker: 'w@here',
    logger: log.logger,
    now: () => clock.now,
    unknownTaskGraceMs: graceMs,
    payloadLimit: 10_000,
    leaseMs: 30_000,
    effects: new Effects('taktline_outbox'),
  });
  const execute = async (job: ClaimedJob, abort?: Error) => {
    const ctx = executor.begin(job);
    if (abort !== undefined) ctx.abort(abort);
    return executor.execute(ctx);
  };
  return { executor, execute, log, clock };
}

const pastOf = (settlement: Settlement): JobPast => decodePast(settlement.past);

describe('a task that returns', () => {
  it('ends its job with the result as JSON, for its time to live', async () => {
    const { execute } = make({ resultTtl: '2h', run: () => ({ ok: true, at: new Date(0) }) });
    const job = claimedJob('work');
    expect(await execute(job)).toEqual({
      kind: 'end',
      job,
      state: 'succeeded',
      result: '{"ok":true,"at":"1970-01-01T00:00:00.000Z"}',
      keepMs: 7_200_000,
    });
  });

  it('nothing has the result null', async () => {
    expect(await make({ run: () => undefined }).execute(claimedJob('work'))).toMatchObject({ result: 'null' });
  });

  it('keeps the past of the job, if it has one', async () => {
    const past = encodePast({ ...noPast, failures: 1 });
    expect(await make().execute(claimedJob('work', null, { past }))).toMatchObject({ kind: 'end', past });
  });

  it('keeps nothing at all with resultTtl false, and measures no result', async () => {
    const { execute } = make({ resultTtl: false, run: () => 1n });
    expect(await execute(claimedJob('work'))).toMatchObject({ kind: 'end', state: 'succeeded', keepMs: 0 });
  });

  it('sees its input as the schema makes it, and what is known of the job', async () => {
    let seen: unknown;
    const { execute } = make({
      input: z.object({ n: z.coerce.number() }),
      run: (input: unknown, ctx: TaskContext) => {
        const { id, task, queue, attempt, maxAttempts, headers } = ctx;
        seen = { input, id, task, queue, attempt, maxAttempts, headers };
      },
    });
    const past = encodePast({ ...noPast, failures: 1, deferrals: 2, losses: 3 });
    const job = claimedJob('work', { n: '5' }, { past });
    await execute({ ...job, envelope: job.envelope.replace('"task"', '"headers":{"tenant":"t1"},"task"') });
    expect(seen).toEqual({
      input: { n: 5 },
      id: job.id,
      task: 'work',
      queue: 'work',
      attempt: 7,
      maxAttempts: 3,
      headers: { tenant: 't1' },
    });
  });

  it.each([
    ['more than the limit', 'x'.repeat(10_001), 'PAYLOAD_TOO_LARGE'],
    ['more than the limit in bytes', 'ü'.repeat(5_001), 'PAYLOAD_TOO_LARGE'],
    ['what JSON does not hold', { n: 1n }, 'INVALID_INPUT'],
    ['a function', () => 1, 'INVALID_INPUT'],
  ])('%s is a dead letter at once: the next attempt would return the same', async (_, value, code) => {
    expect(await make({ run: () => value }).execute(claimedJob('work'))).toMatchObject({ kind: 'bury', task: 'work', code });
  });

  it('exactly the limit is kept', async () => {
    expect(await make({ run: () => 'x'.repeat(9_998) }).execute(claimedJob('work'))).toMatchObject({ kind: 'end' });
  });
});

it('an attempt during which the clock was set back ends when it began', async () => {
  const { execute, clock } = make({
    run: () => {
      clock.now -= 2;
      throw new Error('refused');
    },
  });
  expect(pastOf(await execute(claimedJob('work'))).history).toMatchObject([{ startedAt: 5_000, endedAt: 5_000 }]);
});

describe('a task that throws', () => {
  const throwing = (error: unknown, options: Partial<TaskOptions<InputSchema | undefined, unknown>> = {}) =>
    make({
      run: () => {
        throw error;
      },
      ...options,
    });

  it('is tried again after the backoff, with the attempt on the record', async () => {
    const { execute } = throwing(Object.assign(new TypeError('refused'), { code: 'E_REFUSED' }));
    const settlement = await execute(claimedJob('work'));
    expect(settlement).toMatchObject({ kind: 'reschedule', delayMs: 10_000 });
    expect(pastOf(settlement)).toMatchObject({
      failures: 1,
      history: [
        {
          attempt: 1,
          outcome: 'failed',
          startedAt: 5_000,
          endedAt: 5_000,
          worker: 'w@here',
          error: { type: 'TypeError', code: 'E_REFUSED', message: 'refused', stack: expect.stringContaining('at ') as string },
        },
      ],
    });
  });

  it('is a dead letter after its last attempt, with the code of its error', async () => {
    const past = encodePast({ ...noPast, failures: 2 });
    const { execute } = throwing(Object.assign(new Error('refused'), { code: 'E_REFUSED' }));
    const settlement = await execute(claimedJob('work', null, { past }));
    expect(settlement).toMatchObject({ kind: 'bury', task: 'work', code: 'E_REFUSED', message: 'refused' });
    expect(pastOf(settlement).failures).toBe(3);
  });

  it('does not pay for deferrals and losses', async () => {
    const past = encodePast({ ...noPast, deferrals: 9, losses: 4 });
    expect(await throwing(new Error('x')).execute(claimedJob('work', null, { past }))).toMatchObject({ kind: 'reschedule' });
  });

  it('an error without a code is a TASK_ERROR among the dead letters', async () => {
    const { execute } = throwing(new PermanentError('never'));
    expect(await execute(claimedJob('work'))).toMatchObject({ kind: 'bury', code: 'TASK_ERROR', message: 'never' });
  });

  it('what its policy gives up on is a dead letter at once', async () => {
    class Gone extends Error {}
    expect(await throwing(new Gone('x'), { retry: { giveUpOn: [Gone] } }).execute(claimedJob('work'))).toMatchObject({ kind: 'bury' });
    expect(await throwing(new Error('x'), { retry: { giveUpOn: [Gone] } }).execute(claimedJob('work'))).toMatchObject({
      kind: 'reschedule',
    });
  });

  it('what its policy waits on is no failed attempt, however often it comes', async () => {
    class Away extends Error {}
    const retry = { maxAttempts: 3, waitOn: [Away], backoff: { type: 'fixed', delay: '5s' }, jitter: 0 } as const;
    const past = encodePast({ ...noPast, failures: 2, deferrals: 40 });
    const settlement = await throwing(new Away('the database is away'), { retry }).execute(claimedJob('work', null, { past }));
    expect(settlement).toMatchObject({ kind: 'reschedule', delayMs: 5_000 });
    expect(pastOf(settlement)).toMatchObject({
      failures: 2,
      deferrals: 41,
      history: [{ outcome: 'deferred', reason: 'the database is away' }],
    });
    expect(await throwing(new Error('x'), { retry }).execute(claimedJob('work', null, { past }))).toMatchObject({ kind: 'bury' });
  });

  it('a retry policy that throws ends in a dead letter, and is logged', async () => {
    const { execute, log } = throwing(new Error('refused'), {
      retry: {
        backoff: () => {
          throw new RangeError('broken');
        },
      },
    });
    expect(await execute(claimedJob('work'))).toMatchObject({ kind: 'bury', message: 'refused' });
    expect(log.with('retry policy')).toMatchObject([{ level: 'error', error: 'RangeError' }]);
  });

  it('an outcome instead of an error asks for that outcome', async () => {
    expect(await throwing(retryLater('15m', 'closed')).execute(claimedJob('work'))).toMatchObject({
      kind: 'reschedule',
      delayMs: 900_000,
    });
    expect(await throwing(discard('nobody')).execute(claimedJob('work'))).toMatchObject({ kind: 'end', state: 'cancelled' });
  });
});

describe('outcomes', () => {
  it('retryLater is a deferral and no failure, however often', async () => {
    const past = encodePast({ ...noPast, failures: 2, deferrals: 50 });
    const settlement = await make({ run: () => retryLater('15m', 'the office is closed') }).execute(claimedJob('work', null, { past }));
    expect(settlement).toMatchObject({ kind: 'reschedule', delayMs: 900_000 });
    expect(pastOf(settlement)).toMatchObject({
      failures: 2,
      deferrals: 51,
      history: [{ attempt: 53, outcome: 'deferred', reason: 'the office is closed' }],
    });
  });

  it('discard ends the job as cancelled, with its reason', async () => {
    const settlement = await make({ resultTtl: false, run: () => discard('the order is gone') }).execute(claimedJob('work'));
    expect(settlement).toMatchObject({ kind: 'end', state: 'cancelled', keepMs: 3_600_000 });
    expect(pastOf(settlement).history).toMatchObject([{ outcome: 'discarded', reason: 'the order is gone' }]);
  });

  it('a reason that is no string harms nobody', async () => {
    for (const reason of [undefined, 7, { toString: null }] as unknown as string[]) {
      expect((await make({ run: () => discard(reason) }).execute(claimedJob('work'))).kind).toMatch(/end|reschedule/);
      const thrown = make({
        input: z.object({ a: z.string().meta({ sensitive: true }) }),
        run: () => {
          throw discard(reason);
        },
      });
      expect((await thrown.execute(claimedJob('work', { a: 'secret' }))).kind).toMatch(/end|reschedule|bury/);
    }
  });
});

describe('an attempt that was asked to stop', () => {
  const aborted = make({
    run: (_: unknown, ctx: TaskContext) => {
      throw ctx.signal.reason;
    },
  });

  it('is cancelled when it throws for that', async () => {
    const settlement = await aborted.execute(claimedJob('work'), new TaktlineError('JOB_CANCELLED', 'cancelled'));
    expect(settlement).toMatchObject({ kind: 'end', state: 'cancelled' });
    expect(pastOf(settlement).history).toMatchObject([{ outcome: 'cancelled' }]);
  });

  it.each([new ShutdownSignal('stop'), new TaktlineError('LEASE_LOST', 'lost')])(
    'goes back to its place for $name $code, and no failure is counted',
    async (reason) => {
      const past = encodePast({ ...noPast, failures: 2 });
      const settlement = await aborted.execute(claimedJob('work', null, { past, lane: 'suspects' }), reason);
      expect(settlement).toMatchObject({ kind: 'release', lane: 'suspects' });
      expect(pastOf(settlement)).toMatchObject({ failures: 2, history: [{ outcome: 'handed-back' }] });
    },
  );

  it('has failed for its time limit, whatever it throws then', async () => {
    const { execute } = make({
      run: () => {
        throw new Error('while cleaning up');
      },
    });
    const settlement = await execute(claimedJob('work'), new TaktlineError('TIME_LIMIT', 'took too long'));
    expect(settlement).toMatchObject({ kind: 'reschedule' });
    expect(pastOf(settlement).history).toMatchObject([{ outcome: 'failed', error: { code: 'TIME_LIMIT' } }]);
  });

  it('does not begin when it was asked before', async () => {
    let ran = false;
    const { execute } = make({
      input: z.string().refine(async () => true),
      run: () => {
        ran = true;
      },
    });
    await execute(claimedJob('work', 'x'), new TaktlineError('JOB_CANCELLED', 'cancelled'));
    expect(ran).toBe(false);
  });

  it('has succeeded when it finishes all the same', async () => {
    const { execute } = make({
      run: (_: unknown, ctx: TaskContext) => {
        (ctx as JobContext).abort(new TaktlineError('JOB_CANCELLED', 'cancelled'));
        return 'done';
      },
    });
    expect(await execute(claimedJob('work'))).toMatchObject({ state: 'succeeded' });
  });
});

it('over its hard limit an attempt is a failure like any other', () => {
  const { executor } = make({ timeLimit: '30s' });
  const ctx = executor.begin(claimedJob('work'));
  ctx.definition = defineTask({ name: 'work', queue: 'work', timeLimit: '30s', retry: { maxAttempts: 1 }, run: () => null });
  expect(executor.overran(ctx)).toMatchObject({ kind: 'bury', code: 'TIME_LIMIT', message: expect.stringContaining('30000 ms') as string });
});

describe('a job that cannot be run', () => {
  it.each(['', 'null', '{"v":1', '{"v":9,"task":"work"}', '"work"', '[1]'])('of envelope %j is a dead letter at once', async (envelope) => {
    const settlement = await make().execute(claimedJob('work', null, { envelope }));
    expect(settlement).toMatchObject({ kind: 'bury', task: '', code: 'BAD_ENVELOPE' });
    expect(pastOf(settlement)).toMatchObject({ failures: 1, history: [{ outcome: 'failed' }] });
  });

  it('with an input that no longer passes the schema is one too, and its sensitive values stay unsaid', async () => {
    const input = z.object({ password: z.string().max(3).meta({ sensitive: true }) }).strict();
    const settlement = await make({ input }).execute(claimedJob('work', { password: 'hunter2' }));
    expect(settlement).toMatchObject({ kind: 'bury', code: 'INVALID_INPUT' });
    expect(JSON.stringify({ ...settlement, job: undefined })).not.toContain('hunter2');
  });

  it('a past that cannot be read costs nothing', async () => {
    expect(await make().execute(claimedJob('work', null, { past: '{"fail' }))).toMatchObject({ kind: 'end', state: 'succeeded' });
  });
});

describe('a task that nobody here knows', () => {
  it('is handed back for 1, 2, 4 ... at most 60 s, without an attempt, and logged once', async () => {
    const { execute, log, clock } = make();
    let past: string | undefined;
    const delays: number[] = [];
    for (let time = 1; time <= 9; time++) {
      const settlement = await execute(claimedJob('unheard.of', null, { past }));
      if (settlement.kind !== 'reschedule') throw new Error(settlement.kind);
      delays.push(settlement.delayMs / 1_000);
      clock.now += settlement.delayMs;
      past = settlement.past;
    }
    expect(delays).toEqual([1, 2, 4, 8, 16, 32, 60, 60, 60]);
    expect(decodePast(past)).toMatchObject({ failures: 0, deferrals: 0, losses: 0, history: [], unknownTimes: 9 });
    expect(log.with('unknown task')).toHaveLength(1);
  });

  it('is a dead letter after its grace, once', async () => {
    const { execute, clock } = make();
    const past = encodePast({ ...noPast, unknownSince: clock.now - graceMs, unknownTimes: 70 });
    const settlement = await execute(claimedJob('unheard.of', null, { past }));
    expect(settlement).toMatchObject({ kind: 'bury', task: 'unheard.of', code: 'UNKNOWN_TASK_GRACE' });
    const early = encodePast({ ...noPast, unknownSince: clock.now - graceMs + 1, unknownTimes: 70 });
    expect(await execute(claimedJob('unheard.of', null, { past: early }))).toMatchObject({ kind: 'reschedule' });
  });

  it('has a new grace once a worker has known it in between', async () => {
    const { execute, clock } = make({
      run: () => {
        throw new Error('x');
      },
    });
    const long = encodePast({ ...noPast, unknownSince: clock.now - graceMs, unknownTimes: 70 });
    const failed = await execute(claimedJob('work', null, { past: long }));
    expect(failed.kind).toBe('reschedule');
    const again = await execute(claimedJob('unheard.of', null, { past: failed.past }));
    expect(again).toMatchObject({ kind: 'reschedule', delayMs: 1_000 });
  });

  it.each(['constructor', 'toString', '__proto__', '../x', 'a\u0000\u001b[31m\ud800', ''])('named %j is no other task', async (name) => {
    const { execute, log } = make();
    expect(await execute(claimedJob(name))).toMatchObject({ kind: 'reschedule', delayMs: 1_000 });
    expect(log.raw.join('')).not.toMatch(/\\u0000|\\u001b|\\ud800/);
  });
});

describe('errors that fight back', () => {
  const hostile: readonly (readonly [string, () => unknown])[] = [
    ['undefined', () => undefined],
    ['null', () => null],
    ['a string', () => 'just text'],
    ['an object without a prototype', () => Object.create(null) as unknown],
    ['a number', () => 42],
    ['a symbol', () => Symbol('x')],
    ['a name that is a number', () => Object.assign(new Error('x'), { name: 42 })],
    ['a message that is an object', () => Object.assign(new Error('x'), { message: { toString: 7 } })],
    ['a stack that is an array', () => Object.assign(new Error('x'), { stack: ['a', 'b'] })],
    ['a code that is an object', () => Object.assign(new Error('x'), { code: { a: 1 } })],
    [
      'getters that throw',
      () =>
        Object.defineProperties(new Error('x'), {
          message: {
            get: () => {
              throw new Error('no message for you');
            },
          },
          stack: {
            get: () => {
              throw new Error('no stack for you');
            },
          },
          name: {
            get: () => {
              throw new Error('no name for you');
            },
          },
        }),
    ],
    ['an empty prototype chain', () => Object.setPrototypeOf(new Error('x'), null) as unknown],
    ['no constructor', () => Object.assign(new Error('x'), { name: '', constructor: undefined })],
    [
      'a proxy that throws',
      () =>
        new Proxy(new Error('x'), {
          get: () => {
            throw new Error('trap');
          },
          getPrototypeOf: () => {
            throw new Error('trap');
          },
        }),
    ],
    ['a megabyte of text', () => new Error('long '.repeat(200_000))],
    ['control characters', () => new Error('a\u0000b\u001b[31mc\ud800')],
  ];

  it.each(hostile)('%s is one failed attempt like any other', async (_, error) => {
    for (const input of [undefined, z.object({ a: z.string().meta({ sensitive: true }) })] as const) {
      const { execute } = make({
        ...(input && { input }),
        run: () => {
          throw error();
        },
      });
      const settlement = await execute(claimedJob('work', input === undefined ? null : { a: 'secret' }));
      expect(settlement).toMatchObject({ kind: 'reschedule', delayMs: 10_000 });
      const [record] = pastOf(settlement).history;
      expect(typeof record?.error?.message).toBe('string');
      expect(record?.error?.message.length).toBeLessThanOrEqual(2_000);
      expect(settlement.past).not.toMatch(/\\u0000|\\u001b|\\ud800/);
    }
  });

  it('whatever is thrown, there is one settlement', async () => {
    const { execute } = make({
      run: (input: unknown) => {
        throw input;
      },
      input: z.unknown() as InputSchema,
    });
    await fc.assert(
      fc.asyncProperty(fc.jsonValue(), async (value) => {
        expect((await execute(claimedJob('work', value))).kind).toBe('reschedule');
      }),
    );
  });
});

describe('describeError', () => {
  const asIs = (text: string) => text;

  it('keeps ten frames, without the message that stands above them', () => {
    const error = new Error('secret in the first line');
    error.stack = `Error: secret in the first line\nsecret in the second\n${Array.from({ length: 30 }, (_, n) => `    at frame${n} (file.ts:${n}:1)`).join('\n')}`;
    const { stack } = describeError(error, asIs);
    expect(stack?.split('\n')).toHaveLength(10);
    expect(stack).not.toContain('secret');
  });

  it('scrubs the message, the stack and the name', () => {
    const error = Object.assign(new Error('no hunter2'), { name: 'Hunter2Error' });
    error.stack = 'Error\n    at hunter2 (file.ts:1:1)';
    expect(JSON.stringify(describeError(error, (text) => text.replace(/hunter2/gi, '[masked]')))).not.toMatch(/hunter2/i);
  });

  it('names the class, by its name or by its own property', () => {
    class Gone extends Error {}
    class Named extends Error {
      override readonly name = 'E_NAMED';
    }
    expect(
      [new Error('x'), new RangeError('x'), new Gone('x'), new Named('x'), new (class extends Gone {})('x')].map(
        (error) => describeError(error, asIs).type,
      ),
    ).toEqual(['Error', 'RangeError', 'Gone', 'E_NAMED', 'Error']);
  });

  it('takes a code that is a plain word, and no other', () => {
    expect(describeError(Object.assign(new Error('x'), { code: 'ECONNREFUSED' }), asIs).code).toBe('ECONNREFUSED');
    expect(describeError(Object.assign(new Error('x'), { code: 'two words' }), asIs).code).toBeUndefined();
    expect(describeError(Object.assign(new Error('x'), { code: 550 }), asIs).code).toBeUndefined();
  });
});

it('two executions share nothing', async () => {
  const contexts: JobContext[] = [];
  const { execute } = make({
    run: (_: unknown, ctx: TaskContext) => {
      contexts.push(ctx as JobContext);
      ctx.progress(contexts.length);
    },
  });
  await Promise.all([execute(claimedJob('work')), execute(claimedJob('work'))]);
  expect(contexts[0]).not.toBe(contexts[1]);
  expect(contexts.map((ctx) => ctx.told)).toEqual(['1', '2']);
});
