/** Which job runs next: by queue, then by the job's own priority, then by arrival; and the lowest moves too. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { z } from 'zod';
import { harness } from '../support/harness.ts';

const h = harness();
const three = [
  { name: 'high', priority: 9 },
  { name: 'middle', priority: 5 },
  { name: 'low', priority: 1 },
];

/** An app that notes the order in which its jobs begin. */
function noting() {
  const app = h.app({ queues: three });
  const began: string[] = [];
  const note = app.task({
    name: 'note',
    queue: 'middle',
    input: z.string(),
    run: (text) => {
      began.push(text);
    },
  });
  return { app, began, note };
}

it('queues go by their priority, jobs of a queue by their own, and those alike in order of arrival', async () => {
  const { app, began, note } = noting();
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
  await expect.poll(() => began.length, { timeout: 20_000 }).toBe(27);
  expect(began).toEqual(expected);
});

it('a thousand jobs of one priority run in the order in which they came, though many run at once', async () => {
  const { app, began, note } = noting();
  await Promise.all(Array.from({ length: 4 }, (_, part) => note.enqueueMany(Array.from({ length: 250 }, (_unused, n) => `${part}:${n}`))));
  await h.work(app, { concurrency: 20, ageing: false });
  await expect.poll(() => began.length, { timeout: 20_000 }).toBe(1_000);
  for (let part = 0; part < 4; part++) {
    const mine = began.filter((text) => text.startsWith(`${part}:`)).map((text) => Number(text.split(':')[1]));
    expect(mine).toEqual(mine.toSorted((a, b) => a - b));
  }
});

it.each([true, false])('ageing %s decides whether the lowest moves while higher ones keep coming', async (ageing) => {
  const app = h.app({ queues: three });
  const began: string[] = [];
  let feed = true;
  const task = app.task({
    name: 'fed',
    queue: 'high',
    input: z.string(),
    run: async (queue) => {
      began.push(queue);
      // The line of high ones never gets shorter.
      if (feed && queue === 'high') await task.applyAsync('high', { queue: 'high' });
    },
  });
  await task.enqueueMany(Array.from({ length: 60 }, () => 'high'));
  await task.enqueueMany(
    Array.from({ length: 5 }, () => 'low'),
    { queue: 'low' },
  );
  await h.work(app, { concurrency: 2, ageing });
  await expect.poll(() => began.length, { timeout: 30_000 }).toBeGreaterThan(300);
  feed = false;
  const low = began.slice(0, 300).filter((queue) => queue === 'low').length;
  if (ageing) expect(low).toBeGreaterThan(0);
  else expect(low).toBe(0);
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
  await expect.poll(() => began.length, { timeout: 20_000 }).toBeGreaterThanOrEqual(20);
  const claimed = await h.space.query<{ n: string }>(`select coalesce(sum(length(replace(open::text, '0', ''))), 0) as n from $ns.claims`);
  expect(Number(claimed[0]?.n)).toBeLessThanOrEqual(11);
  const urgent = await slow.applyAsync('urgent', { queue: 'high' });
  const before = began.length;
  await urgent.result();
  // One claim in sixteen begins with the lowest.
  expect(began.indexOf('urgent') - before).toBeLessThanOrEqual(1);
  expect(await h.rows('ready')).toBeGreaterThan(9_900);
});
