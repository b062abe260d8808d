/** Failed jobs are kept for a person: list, show, redrive, discard, purge. */
import { beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { App, Task } from '../../src/index.ts';
import { onEachBroker } from '../support/harness.ts';
import { polled } from '../support/polled.ts';

onEachBroker('dead letters', (h) => {
  let app: App;
  let send: Task<{ to: string; password?: string | undefined }, string>;
  let mended: boolean;

  beforeEach(async () => {
    mended = false;
    app = h.app({ queues: ['work', 'bulk'].map((name) => ({ name, priority: 5 })) });
    const run = ({ to }: { to: string }) => {
      if (!mended) throw Object.assign(new Error(`no mailbox ${to}`), { code: to.startsWith('b') ? 'E550' : 'E551' });
      return `sent to ${to}`;
    };
    send = app.task({
      name: 'send',
      queue: 'work',
      priority: 7,
      input: z.object({ to: z.string(), password: z.string().meta({ sensitive: true }).optional() }),
      retry: { maxAttempts: 2, backoff: { type: 'fixed', delay: 0 } },
      run,
    });
    app.task({ name: 'bulk', queue: 'bulk', input: z.object({ to: z.string() }), retry: { maxAttempts: 1 }, run });
  });

  /** Dead letters of these addresses. */
  async function dead(...addresses: string[]) {
    const handles = [];
    for (const to of addresses) {
      const handle = to.startsWith('x') ? await app.call('bulk', { to }) : await send.delay({ to });
      handles.push(handle);
      await handle.result().catch(() => undefined);
    }
    return handles;
  }

  it('a job whose attempts are used up is listed with what went wrong, newest first', async () => {
    await h.work(app, { name: 'w@here' });
    const [ann, bob] = await dead('ann', 'bob');
    const { items, cursor } = await app.inspector.deadLetters.list();
    expect(cursor).toBeUndefined();
    expect(items.map(({ id }) => id)).toEqual([bob?.id, ann?.id]);
    expect(items[1]).toMatchObject({
      task: 'send',
      queue: 'work',
      code: 'E551',
      message: 'no mailbox ann',
      input: { to: 'ann' },
      redrives: 0,
      attempts: [
        { attempt: 1, outcome: 'failed', worker: 'w@here' },
        { attempt: 2, outcome: 'failed', worker: 'w@here' },
      ],
    });
    expect(Date.parse(items[1]?.diedAt as string)).toBeGreaterThanOrEqual(Date.parse(items[1]?.enqueuedAt as string));
    expect(await app.inspector.deadLetters.show(ann?.id as string)).toEqual(items[1]);
    expect(await app.inspector.deadLetters.show('nobody')).toBeUndefined();
    expect(await app.inspector.job(bob?.id as string)).toMatchObject({ state: 'failed', failures: 2 });
  });

  it('a list has pages and filters', async () => {
    await h.work(app);
    await dead('ann', 'bob', 'berta', 'xaver', 'anton');
    const letters = app.inspector.deadLetters;
    const all = (await letters.list()).items.map(({ id }) => id);
    expect(all).toHaveLength(5);
    const paged: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await letters.list({ limit: 2, ...(cursor === undefined ? {} : { cursor }) });
      expect(page.items.length).toBeLessThanOrEqual(2);
      paged.push(...page.items.map(({ id }) => id));
      cursor = page.cursor;
    } while (cursor !== undefined);
    expect(paged).toEqual(all);
    const to = async (query: Parameters<typeof letters.list>[0]) =>
      (await letters.list(query)).items.map(({ input }) => (input as { to: string }).to).toSorted();
    expect(await to({ code: 'E550' })).toEqual(['berta', 'bob']);
    expect(await to({ task: 'bulk' })).toEqual(['xaver']);
    expect(await to({ queue: 'bulk' })).toEqual(['xaver']);
    expect(await to({ ids: all.slice(0, 2) })).toEqual(['anton', 'xaver']);
    expect(await to({ diedBefore: new Date(0) })).toEqual([]);
    expect(await to({ diedBefore: new Date(Date.now() + 60_000), task: 'send', code: 'E551' })).toEqual(['ann', 'anton']);
    await expect(letters.list({ limit: 0 })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    await expect(letters.list({ queue: 'nowhere' })).rejects.toMatchObject({ code: 'UNKNOWN_QUEUE' });
  });

  describe('redrive', () => {
    it('puts one back with a new set of attempts; its history and its handle stay', async () => {
      await h.work(app);
      const [ann, bob] = await dead('ann', 'bob');
      mended = true;
      expect(await app.inspector.deadLetters.redrive({ ids: [ann?.id as string] })).toBe(1);
      expect(await ann?.result()).toBe('sent to ann');
      const job = await app.inspector.job(ann?.id as string);
      expect(job).toMatchObject({ state: 'succeeded', redrives: 1, failures: 0 });
      expect(job?.attempts.map(({ outcome }) => outcome)).toEqual(['failed', 'failed']);
      expect(await bob?.status()).toBe('failed');
      expect(await app.inspector.deadLetters.redrive({ ids: [ann?.id as string] })).toBe(0);
    });

    it('by filter and all', async () => {
      await h.work(app);
      const [, bob, berta] = await dead('ann', 'bob', 'berta', 'xaver');
      const letters = app.inspector.deadLetters;
      mended = true;
      expect(await letters.redrive({ code: 'E550' })).toBe(2);
      expect(await Promise.all([bob?.result(), berta?.result()])).toEqual(['sent to bob', 'sent to berta']);
      mended = false;
      const steps: number[] = [];
      expect(await letters.redrive({}, { onProgress: (done) => steps.push(done) })).toBe(2);
      expect(steps).toEqual([2]);
      await polled(async () => (await letters.list()).items.length).toBe(2);
      expect((await letters.list()).items.every(({ redrives }) => redrives === 1)).toBe(true);
    });

    it('keeps priority and queue', async () => {
      const worker = await h.work(app);
      const [ann] = await dead('ann');
      await worker.stop();
      await app.inspector.deadLetters.redrive({});
      expect(await app.inspector.job(ann?.id as string)).toMatchObject({
        state: 'queued',
        queue: 'work',
        priority: 7,
        input: { to: 'ann' },
      });
    });
  });

  it('discard removes them for good', async () => {
    await h.work(app);
    const [ann, bob] = await dead('ann', 'bob');
    expect(await app.inspector.deadLetters.discard({ ids: [bob?.id as string] })).toBe(1);
    expect(await bob?.status()).toBeUndefined();
    expect(await app.inspector.deadLetters.discard({})).toBe(1);
    expect(await ann?.status()).toBeUndefined();
    expect((await app.inspector.deadLetters.list()).items).toEqual([]);
  });

  it('purge removes what waits in a queue, and nothing else', async () => {
    const worker = await h.work(app);
    await dead('ann');
    await worker.stop();
    await send.enqueueMany(Array.from({ length: 2_300 }, () => ({ to: 'ann' })));
    await send.enqueueMany(
      Array.from({ length: 200 }, () => ({ to: 'ann' })),
      { countdown: '1d' },
    );
    const other = await app.call('bulk', { to: 'xaver' });
    const steps: number[] = [];
    expect(await app.inspector.purge('work', { onProgress: (done) => steps.push(done) })).toBe(2_500);
    expect(steps).toEqual([1_000, 2_000, 2_500]);
    expect(await other.status()).toBe('queued');
    expect((await app.inspector.deadLetters.list()).items).toHaveLength(1);
    expect(
      (await app.inspector.queues()).map(({ name, ready, scheduled, dead: letters }) => ({ name, ready, scheduled, letters })),
    ).toEqual([
      { name: 'bulk', ready: 1, scheduled: 0, letters: 0 },
      { name: 'work', ready: 0, scheduled: 0, letters: 1 },
    ]);
  });

  it('shows no sensitive field, whether it knows the task by its code or as workers have described it', async () => {
    await h.work(app);
    const handle = await send.delay({ to: 'ann', password: 'hunter2' });
    await handle.result().catch(() => undefined);
    expect((await app.inspector.deadLetters.show(handle.id))?.input).toEqual({ to: 'ann', password: '[masked]' });
    const stranger = h.app({ queues: ['work'].map((name) => ({ name, priority: 5 })) });
    expect((await stranger.inspector.deadLetters.show(handle.id))?.input).toEqual({ to: 'ann', password: '[masked]' });
  });
});
