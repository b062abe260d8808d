/** Two namespaces on one server share nothing. */
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { harness, onEachBroker } from '../support/harness.ts';

onEachBroker(
  'namespaces',
  (h) => {
    it('same queue, same task, same id: each has its own jobs, workers and dead letters', async () => {
      const other = await h.another();
      const [here, there] = [h.app(), h.app({ namespace: other.name })];
      const define = (app: typeof here, answer: string) =>
        app.task({
          name: 'who',
          queue: 'work',
          input: z.object({ fail: z.boolean() }),
          retry: { maxAttempts: 1 },
          run: ({ fail }) => {
            if (fail) throw new Error(answer);
            return answer;
          },
        });
      const [a, b] = [define(here, 'here'), define(there, 'there')];
      const mine = await a.applyAsync({ fail: false }, { id: 'same' });
      const yours = await b.applyAsync({ fail: false }, { id: 'same' });
      await h.work(there);
      expect(await yours.result()).toBe('there');
      expect(await mine.status()).toBe('queued');
      await h.work(here);
      expect(await mine.result()).toBe('here');

      const failed = await b.delay({ fail: true });
      await expect(failed.result()).rejects.toMatchObject({ cause: { message: 'there' } });
      expect((await here.inspector.deadLetters.list()).items).toEqual([]);
      expect(await here.handle(failed.id).status()).toBeUndefined();
      expect(await here.cancel([failed.id])).toEqual(['unknown']);
      expect(await here.inspector.workers()).toHaveLength(1);
      await a.applyAsync({ fail: false }, { countdown: '1h' });
      expect(await there.inspector.purge('work')).toBe(0);
      expect(await here.inspector.purge('work')).toBe(1);
    });

    it('a newer release changes the priority of a queue, and keeps its jobs', async () => {
      const before = h.app({ queues: [{ name: 'work', priority: 3 }] });
      const task = before.task({ name: 'n', queue: 'work', run: () => null });
      await task.delay();
      await before.close();
      const after = h.app({
        queues: [
          { name: 'work', priority: 8 },
          { name: 'new', priority: 1 },
        ],
      });
      expect((await after.inspector.queues()).map(({ name, priority, ready }) => [name, priority, ready])).toEqual([
        ['work', 8, 1],
        ['new', 1, 0],
      ]);
    });
  },
  { fresh: true },
);

describe('namespaces on Postgres', () => {
  const h = harness({ fresh: true });

  it('apps that start on an empty namespace at once make its schema once', async () => {
    const apps = Array.from({ length: 6 }, () => h.app());
    await Promise.all(apps.map((app) => app.ping()));
    const steps = await h.store.query<{ version: number }>('select version from $ns.schema_version order by version');
    expect(steps.length).toBeGreaterThan(0);
    expect(steps).toEqual(steps.map((_, index) => ({ version: index + 1 })));
  });
});
