/** Which job runs next: by queue, then by the job's own priority, then by arrival; and the lowest moves too. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { z } from 'zod';
import { onEachBroker } from '../support/harness.ts';
import { polled } from '../support/polled.ts';

onEachBroker('order', (h) => {
  const three = [
    { name: 'high', priority: 9 },
    { name: 'middle', priority: 5 },
    { name: 'low', priority: 1 },
  ];

  /** An app that notes the order in which its jobs begin. */
  function noting({ slow }: { readonly slow: boolean }) {
    const app = h.app({ queues: three });
    const began: string[] = [];
    const note = app.task({
      name: 'note',
      queue: 'middle',
      input: z.string(),
      run: async (text) => {
        began.push(text);
        // Longer than what a worker holds ahead, so that each job is claimed by itself.
        if (slow) await sleep(25);
      },
    });
    return { app, began, note };
  }

  it('queues go by their priority, jobs of a queue by their own, and those alike in order of arrival', async () => {
    const { app, began, note } = noting({ slow: true });
    const expected: string[] = [];
    for (const queue of ['low', 'middle', 'high']) {
      for (const priority of [5, 1, 10]) {
        await note.enqueueMany(
          [1, 2, 3].map((n) => `${queue} ${priority} ${n}`),
          { queue, priority },
        );
      }
    }
    for (const queue of ['high', 'middle', 'low'])
      for (const priority of [10, 5, 1]) for (const n of [1, 2, 3]) expected.push(`${queue} ${priority} ${n}`);
    await h.work(app, { concurrency: 1, ageing: false });
    await polled(() => began.length).toBe(27);
    expect(began).toEqual(expected);
  });

  it('fast jobs of a worker begin in the order in which they came, give or take what it holds ahead', async () => {
    const { app, began, note } = noting({ slow: false });
    for (let batch = 0; batch < 6; batch++) await note.enqueueMany(Array.from({ length: 1_000 }, (_, n) => String(batch * 1_000 + n)));
    await h.work(app, { concurrency: 20, ageing: false });
    await polled(() => began.length).toBe(6_000);
    // Two claims are on their way at once; while one is slow to arrive, some of those behind it may be there and done.
    const ahead = began.map((text, place) => Number(text) - place);
    expect(Math.max(...ahead)).toBeLessThanOrEqual(3_000);
  });

  it.each([true, false])('ageing %s decides whether the lowest moves while the highest never runs dry', async (ageing) => {
    const queues = [
      { name: 'top', priority: 10 },
      { name: 'bottom', priority: 1 },
    ];
    const app = h.app({ queues });
    const began: string[] = [];
    let feed = true;
    const task = app.task({
      name: 'fed',
      queue: 'top',
      input: z.string(),
      run: async (text) => {
        began.push(text);
        // One comes for each that goes. Longer than what a worker holds ahead, so that each job is a claim by itself.
        await Promise.all([sleep(25), feed && text === 'high' ? task.applyAsync('high', { priority: 10 }) : undefined]);
      },
    });
    await task.enqueueMany(
      Array.from({ length: 10 }, () => 'high'),
      { priority: 10 },
    );
    await task.enqueueMany(['lowest here', 'lowest here'], { priority: 1 });
    await task.enqueueMany(['lowest elsewhere', 'lowest elsewhere'], { queue: 'bottom', priority: 1 });
    await h.work(app, { concurrency: 1, ageing });
    // Four sixteenths, and a few that may have been claimed before.
    await polled(() => began.length).toBeGreaterThan(4 * 16 + 2);
    feed = false;
    const places = [...began.keys()].filter((place) => began[place] !== 'high');
    expect(places.map((place) => began[place])).toEqual(
      ageing ? ['lowest elsewhere', 'lowest elsewhere', 'lowest here', 'lowest here'] : [],
    );
    for (const [index, place] of places.entries()) {
      expect(place).toBeLessThanOrEqual(16 * (index + 1) + 2);
      // Nor more than their share.
      expect(place).toBeGreaterThanOrEqual(16 * index + 10);
    }
  });

  it('an urgent job behind 10,000 one-second jobs takes the next free slot', async () => {
    const app = h.app({ queues: three });
    const began: string[] = [];
    const slow = app.task({
      name: 'slow',
      queue: 'low',
      input: z.string(),
      run: async (text, ctx) => {
        began.push(text);
        if (text === 'bulk') await sleep(1_000, undefined, { signal: ctx.signal });
      },
    });
    await slow.enqueueMany(Array.from({ length: 10_000 }, () => 'bulk'));
    await h.work(app, { concurrency: 10, shutdownGrace: 0 });
    // The second round of ten has begun, so the worker knows what these jobs take.
    await polled(() => began.length).toBeGreaterThanOrEqual(20);
    expect((await app.inspector.queues()).find(({ name }) => name === 'low')?.running).toBeLessThanOrEqual(11);
    const urgent = await slow.applyAsync('urgent', { queue: 'high' });
    const before = began.length;
    await urgent.result();
    // One claim in sixteen begins with the lowest.
    expect(began.indexOf('urgent') - before).toBeLessThanOrEqual(1);
    expect(await h.store.count('ready')).toBeGreaterThan(9_900);
  });
});
