/** Fields marked sensitive are nowhere that a person may read: not in logs, errors, attempts, dead letters, progress or views. */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { expect, it } from 'vitest';
import { z } from 'zod';
import { discard, PermanentError, retryLater } from '../../src/index.ts';
import { Gate } from '../support/gate.ts';
import { onEachBroker } from '../support/harness.ts';
import { polled } from '../support/polled.ts';

onEachBroker('sensitive fields', (h) => {
  const secrets = {
    password: 'hunter2-correct-horse',
    pin: 48151623,
    emails: ['ann@example.com', 'bob@example.com'],
    note: 'line one\nline "two"',
  };
  const input = z.object({
    how: z.string(),
    user: z.string(),
    password: z.string().meta({ sensitive: true }),
    pin: z.number().meta({ sensitive: true }),
    emails: z.array(z.string().meta({ sensitive: true })),
    deep: z.object({ note: z.string() }),
  });
  /** Any of the secrets, also as JSON writes them. */
  const shown = /hunter2|48151623|@example\\.com|line one|line \\\\?"two/;

  it('wherever the task quotes them', async () => {
    const app = h.app();
    const gate = new Gate();
    const task = app.task({
      name: 'leaks',
      queue: 'work',
      input,
      sensitive: ['deep.note'],
      retry: { maxAttempts: 3, backoff: { type: 'fixed', delay: 0 } },
      run: async (given, ctx) => {
        const all = JSON.stringify(given);
        const said = `login of ${given.user} with ${given.password} / ${given.pin} for ${given.emails.join(', ')}: ${given.deep.note}`;
        ctx.log.info(said, { given, all, list: given.emails, [given.password]: true });
        ctx.log.error('failed', { error: said, pin: given.pin });
        ctx.progress({ at: given.emails[0], said });
        if (given.how === 'progress') return gate.pass().then(() => null);
        if (given.how === 'later' && ctx.attempt === 1) return retryLater(0, said);
        if (given.how === 'discard') return discard(said);
        if (given.how === 'permanent') throw new PermanentError(said, { cause: new Error(all) });
        if (given.how === 'string') throw said;
        throw Object.assign(new TypeError(said), { name: given.password, code: 'E_LOGIN', config: given });
      },
    });
    await h.work(app);
    const make = (how: string) =>
      task.delay({ how, user: 'ann', password: secrets.password, pin: secrets.pin, emails: secrets.emails, deep: { note: secrets.note } });
    const views: unknown[] = [];
    for (const how of ['throw', 'later', 'discard', 'permanent', 'string']) {
      const handle = await make(how);
      const error = (await handle.result().catch((thrown: unknown) => thrown)) as Error;
      views.push(error.message, error.stack, (error.cause as Error | undefined)?.message, (error.cause as Error | undefined)?.name);
      views.push(await app.inspector.job(handle.id));
    }
    const running = await make('progress');
    await gate.reached;
    await polled(async () => (await app.inspector.job(running.id))?.progress).toBeDefined();
    views.push(await app.inspector.job(running.id), await app.inspector.jobs('running'));
    const waiting = await task.applyAsync(
      { how: 'later', user: 'ann', password: secrets.password, pin: secrets.pin, emails: secrets.emails, deep: { note: secrets.note } },
      { countdown: '1h' },
    );
    views.push(await app.inspector.jobs('scheduled'), await app.inspector.job(waiting.id));
    const { items } = await app.inspector.deadLetters.list();
    views.push(items);
    gate.open();
    await running.result();

    expect(items.length).toBeGreaterThanOrEqual(3);
    expect(JSON.stringify(views)).not.toMatch(shown);
    expect(h.log.raw.join('')).not.toMatch(shown);
    expect(h.log.raw.length).toBeGreaterThanOrEqual(12);
    // What the broker keeps beside the envelope is masked as well.
    const remarks = await h.store.remarks();
    expect(remarks.join('\n')).toContain('login of ann with [masked]');
    expect(remarks.join('\n')).not.toMatch(shown);
    // What is not sensitive can still be read.
    expect(items[0]).toMatchObject({
      input: { user: 'ann', password: '[masked]', pin: '[masked]', emails: ['[masked]', '[masked]'], deep: { note: '[masked]' } },
    });
    expect(items.some(({ message }) => message.includes('login of ann with [masked]'))).toBe(true);
    expect(h.log.with('login of ann with [masked]').length).toBeGreaterThan(0);
  });

  it('wherever the schema quotes them, at the caller and on the worker', async () => {
    const strict = z
      .object({ password: z.string().meta({ sensitive: true }) })
      .superRefine(({ password }, ctx) => ctx.addIssue({ code: 'custom', message: `${password} is too weak`, path: ['password'] }));
    const caller = h.app();
    const loose = caller.task({
      name: 'same',
      queue: 'work',
      input: z.object({ password: z.string().meta({ sensitive: true }) }),
      run: () => null,
    });
    const worker = h.app();
    const task = worker.task({ name: 'same', queue: 'work', input: strict, run: () => null });
    await expect(task.delay({ password: secrets.password })).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      message: expect.stringContaining('password: [masked] is too weak') as string,
    });
    await h.work(worker);
    const handle = await loose.delay({ password: secrets.password });
    await expect(handle.result()).rejects.toMatchObject({
      cause: { code: 'INVALID_INPUT', message: expect.not.stringMatching(shown) as string },
    });
    expect(h.log.raw.join('')).not.toMatch(shown);
  });

  it('a schema that cannot say which fields are sensitive has all of them masked', async () => {
    const app = h.app();
    const mute: StandardSchemaV1<{ token: string }> = {
      '~standard': { version: 1, vendor: 'by hand', validate: (value) => ({ value: value as { token: string } }) },
    };
    const task = app.task({
      name: 'mute',
      queue: 'work',
      input: mute,
      retry: { maxAttempts: 1 },
      run: ({ token }, ctx) => {
        ctx.log.warn(`token ${token}`);
        throw new Error(`bad token ${token}`);
      },
    });
    await h.work(app);
    const handle = await task.delay({ token: secrets.password });
    await expect(handle.result()).rejects.toMatchObject({ cause: { message: 'bad token [masked]' } });
    expect((await app.inspector.deadLetters.show(handle.id))?.input).toBe('[masked]');
    expect(h.log.raw.join('')).not.toMatch(shown);
  });
});
