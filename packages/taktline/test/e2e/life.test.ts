/**
 * A job's life, whatever happens in it: random mixes of tasks that succeed, fail, ask for later, give up, run too long,
 * are cancelled or expire, on workers that are stopped and started meanwhile. Each job ends in the state that a small
 * model foretells, its history tells what happened, and it ran no more often than it had to.
 */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { z } from 'zod';
import { type App, type AttemptRecord, discard, type JobHandle, PermanentError, retryLater, type Worker } from '../../src/index.ts';
import { eventually } from '../support/eventually.ts';
import { Gate } from '../support/gate.ts';
import { onEachBroker } from '../support/harness.ts';

onEachBroker('lives of jobs', (h) => {
  const maxAttempts = 3;
  /** What one attempt does. */
  const steps = ['succeed', 'throw', 'permanent', 'later', 'discard', 'too long', 'too large', 'give up at the soft limit'] as const;
  type Step = (typeof steps)[number];
  /** What is done to the job from outside. */
  type Fate = 'run' | 'cancelled while it waits' | 'cancelled while it runs' | 'expires';

  interface Plan {
    readonly fate: Fate;
    readonly script: readonly Step[];
    readonly priority: number;
    readonly queue: string;
    readonly countdownMs: number;
  }

  interface Foretold {
    readonly state: 'succeeded' | 'failed' | 'cancelled' | 'expired';
    readonly outcomes: readonly AttemptRecord['outcome'][];
    readonly failures: number;
    readonly deferrals: number;
  }

  /** The model. */
  function foretell({ fate, script }: Plan): Foretold {
    if (fate === 'cancelled while it waits') return { state: 'cancelled', outcomes: [], failures: 0, deferrals: 0 };
    if (fate === 'expires') return { state: 'expired', outcomes: [], failures: 0, deferrals: 0 };
    if (fate === 'cancelled while it runs') return { state: 'cancelled', outcomes: ['cancelled'], failures: 0, deferrals: 0 };
    const outcomes: AttemptRecord['outcome'][] = [];
    let failures = 0;
    let deferrals = 0;
    for (const step of [...script, 'succeed' as const]) {
      if (step === 'succeed') return { state: 'succeeded', outcomes, failures, deferrals };
      if (step === 'discard') return { state: 'cancelled', outcomes: [...outcomes, 'discarded'], failures, deferrals };
      if (step === 'later') {
        outcomes.push('deferred');
        deferrals += 1;
        continue;
      }
      outcomes.push('failed');
      failures += 1;
      if (step === 'permanent' || step === 'too large' || failures === maxAttempts)
        return { state: 'failed', outcomes, failures, deferrals };
    }
    throw new Error('a script ends with success');
  }

  const plan: fc.Arbitrary<Plan> = fc.record({
    fate: fc.constantFrom<Fate>('run', 'run', 'run', 'run', 'run', 'cancelled while it waits', 'cancelled while it runs', 'expires'),
    script: fc.array(fc.constantFrom(...steps), { maxLength: 4 }),
    priority: fc.integer({ min: 1, max: 10 }),
    queue: fc.constantFrom('work', 'low'),
    countdownMs: fc.constantFrom(0, 0, 0, 1, 30),
  });

  function build() {
    const app = h.app({ queues: ['work', 'low'].map((name, index) => ({ name, priority: 5 - index })), payloadLimit: 2_000 });
    /** Executions, by job. */
    const runs = new Map<string, number>();
    /** What never ends by itself is let go at the end. */
    const end = new Gate();
    const task = app.task({
      name: 'live',
      queue: 'work',
      input: z.object({ script: z.array(z.enum(steps)) }),
      softTimeLimit: 100,
      timeLimit: 200,
      retry: { maxAttempts, backoff: { type: 'fixed', delay: 0 } },
      run: async ({ script }, ctx) => {
        runs.set(ctx.id, (runs.get(ctx.id) ?? 0) + 1);
        // Executions that a stopping worker handed back are not counted in ctx.attempt.
        switch (script[ctx.attempt - 1] ?? 'succeed') {
          case 'succeed':
            return ctx.attempt;
          case 'throw':
            throw new Error('refused');
          case 'permanent':
            throw new PermanentError('never');
          case 'later':
            return retryLater(0, 'later');
          case 'discard':
            throw discard('gone');
          case 'too large':
            return 'x'.repeat(3_000);
          case 'give up at the soft limit':
            return end.pass(ctx.signal).then(() => null);
          case 'too long':
            return end.pass().then(() => null);
        }
      },
    });
    // One that is cancelled while it runs has all the time that the test needs for it.
    const patient = app.task({
      name: 'patient',
      queue: 'work',
      input: z.object({}),
      run: async (_, ctx) => {
        runs.set(ctx.id, (runs.get(ctx.id) ?? 0) + 1);
        await end.pass(ctx.signal);
      },
    });
    const enqueue = async ({ fate, script, priority, queue, countdownMs }: Plan): Promise<JobHandle<unknown>> => {
      const input = { script: [...script] };
      const options = { priority, queue, ...(countdownMs === 0 ? {} : { countdown: countdownMs }) };
      if (fate === 'cancelled while it runs') return patient.applyAsync({}, options);
      if (fate === 'expires') return task.applyAsync(input, { priority, queue, countdown: 60_000, expires: 1 });
      if (fate === 'cancelled while it waits') return task.applyAsync(input, { ...options, countdown: 60_000 });
      return task.applyAsync(input, options);
    };
    return { app, runs, end, enqueue };
  }

  /** Stops a worker at once, as a second SIGTERM does, and starts another. */
  async function replace(app: App, worker: Worker, concurrency: number): Promise<Worker> {
    await worker.stop({ now: true });
    return h.work(app, { concurrency });
  }

  async function live(plans: readonly Plan[], concurrency: number, stops: number): Promise<void> {
    const { app, runs, end, enqueue } = build();
    let worker = await h.work(app, { concurrency });
    const handles = await Promise.all(plans.map(enqueue));
    const of = (fate: Fate) => handles.filter((_, index) => plans[index]?.fate === fate);
    for (const handle of of('cancelled while it waits')) expect(await handle.cancel()).toBe('done');
    for (let stop = 0; stop < stops; stop++) worker = await replace(app, worker, concurrency);
    // They may run one after the other: each is cancelled when its turn has come.
    await Promise.all(
      of('cancelled while it runs').map(async (handle) => {
        await eventually(async () => runs.has(handle.id) && (await handle.status()) === 'running', 'it runs', { everyMs: 25 });
        expect(await handle.cancel()).toBe('asked');
      }),
    );
    const ends = await Promise.all(
      handles.map((handle) =>
        handle.result().then(
          () => 'succeeded',
          (error: unknown) =>
            ({ JOB_FAILED: 'failed', JOB_CANCELLED: 'cancelled', JOB_EXPIRED: 'expired' })[(error as { code: string }).code] ?? error,
        ),
      ),
    );
    expect(ends).toEqual(plans.map((one) => foretell(one).state));
    end.open();
    await worker.stop();

    // Each is in exactly one place, and that is an end.
    await h.tidy();
    expect([await h.store.count('ready'), await h.store.count('scheduled'), await h.store.claims()]).toEqual([0, 0, 0]);
    expect((await h.store.count('ended')) + (await h.store.count('dead'))).toBe(plans.length);

    for (const [index, handle] of handles.entries()) {
      const foretold = foretell(plans[index] as Plan);
      const job = await app.inspector.job(handle.id);
      expect(job, handle.id).toMatchObject({
        state: foretold.state,
        losses: 0,
        failures: foretold.failures,
        deferrals: foretold.deferrals,
      });
      const attempts = job?.attempts ?? [];
      // A worker that stops hands back; that may happen between any two attempts.
      expect(attempts.map(({ outcome }) => outcome).filter((outcome) => outcome !== 'handed-back')).toEqual(foretold.outcomes);
      const handedBack = attempts.filter(({ outcome }) => outcome === 'handed-back').length;
      expect(handedBack).toBeLessThanOrEqual(stops);
      const executions = foretold.outcomes.length + (foretold.state === 'succeeded' ? 1 : 0);
      expect(runs.get(handle.id) ?? 0).toBe(executions + handedBack);
      for (const attempt of attempts) expect(attempt.endedAt).toBeGreaterThanOrEqual(attempt.startedAt);
    }
  }

  it('every job ends as it had to, once, and its history says why', { timeout: 180_000 }, async () => {
    await fc.assert(
      fc
        .asyncProperty(
          fc.array(plan, { minLength: 20, maxLength: 60 }),
          fc.integer({ min: 3, max: 30 }),
          fc.nat({ max: 3 }),
          async (plans, concurrency, stops) => {
            await live(plans, concurrency, stops);
          },
        )
        .beforeEach(() => h.begin())
        .afterEach(() => h.end()),
      // A failure says its seed; shrinking ends after a while.
      { numRuns: 6, interruptAfterTimeLimit: 90_000 },
    );
  });
});
