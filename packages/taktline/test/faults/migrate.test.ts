/** `taktline migrate` killed at any moment, again and again: when it comes to its end, each job is at the target once, and none is left. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { newId } from '../../src/support/ids.ts';
import type { Space } from '../conformance/subject.ts';
import { end, job, numbers, TestWorker } from '../conformance/test-worker.ts';
import { eventually } from '../support/eventually.ts';
import { counted, fill, given, migrate, place, type Standing, standing, work } from '../support/migration.ts';
import { describeOnRedis } from '../support/redis/needs-redis.ts';

const kills = 6;

/** Starts the command until it has come to its end; up to six times it is killed, soon after it has moved something. */
async function migrateThroughKills(from: Space, to: Space, random: () => number, left: () => Promise<number>): Promise<number> {
  let killed = 0;
  for (let round = 0; ; round++) {
    expect(round).toBeLessThan(20);
    const before = await left();
    const cli = migrate(from, to, '--json');
    if (killed < kills && before > 0) {
      const over = cli.ended.then(() => true);
      await eventually(async () => (await left()) < before || cli.process.exitCode !== null, 'something has moved', { everyMs: 1 });
      await Promise.race([over, sleep(random() * 60)]);
      cli.process.kill('SIGKILL');
    }
    const { code, stderr } = await cli.ended;
    if (cli.process.signalCode === 'SIGKILL') killed += 1;
    else {
      expect({ code, stderr: stderr.replace(/^waiting for the leases.*\n/, '') }).toEqual({ code: 0, stderr: '' });
      return killed;
    }
  }
}

describeOnRedis('migrate', () => {
  it.each([
    ['postgres', 'redis', 1],
    ['redis', 'postgres', 2],
    ['postgres', 'postgres', 3],
  ] as const)(
    'from %s to %s, killed at random moments, while jobs arrive and others run at the target',
    { timeout: 180_000 },
    async (kind, other, seed) => {
      const random = numbers(seed);
      await using from = await place(kind);
      await using to = await place(other);
      const [source, target] = [await from.open(), await to.open()];
      await fill(source, 500);
      // A worker that was killed holds some: they are taken over.
      const lost = await TestWorker.join(source.broker, { name: 'lost@test', leaseMs: 1_000 });
      expect((await lost.take({ queues: ['low'], limit: 50 })).length).toBe(50);
      const before = await standing(source);
      const states = new Map<string, Standing>(Object.values(before).flatMap((list) => list.map((one) => [String(one['id']), one])));
      await eventually(
        async () => (await source.inspector.workers()).every(({ leaseExpiresInMs }) => leaseExpiresInMs <= 0),
        'the lease runs out',
      );

      // What arrives in one queue of the target is run at once, and nothing is kept of it: only its id tells that it was there.
      const worker = await TestWorker.join(target.broker, { name: 'there@test' });
      const runs = new Map<string, number>();
      let moving = true;
      const running = (async () => {
        for (;;) {
          const over = !moving;
          const taken = [...(await worker.take({ queues: ['high'], limit: 40 }))];
          for (const { id } of taken) runs.set(id, (runs.get(id) ?? 0) + 1);
          await worker.done(...taken.map((one) => end(one, { keepMs: 0 })));
          if (over && taken.length === 0) return;
        }
      })();
      const arrived: string[] = [];
      const arriving = (async () => {
        for (let batch = 0; batch < 20 && moving; batch++) {
          const list = Array.from({ length: 20 }, (_, index) => (index === 0 ? `arrived-${batch}` : newId('high')));
          const made = await source.broker.enqueue(
            list.map((id, index) => job(id, { queue: 'high', ...(index === 0 ? given(id) : work(id)) })),
          );
          expect(made).toEqual(list.map(() => 'created'));
          arrived.push(...list);
          await sleep(random() * 50);
        }
      })();
      const left = async () =>
        (await source.inspector.queues()).reduce((sum, { ready, scheduled, dead }) => sum + ready + scheduled + dead, 0);
      const killed = await migrateThroughKills(from, to, random, left);
      expect(killed).toBe(kills);
      await arriving;
      if ((await left()) > 0) await migrateThroughKills(from, to, random, async () => 0);
      moving = false;
      await running;

      expect(counted(await standing(source))).toBe(0);
      expect((await source.inspector.queues()).map(({ ready, scheduled, running, dead }) => [ready, scheduled, running, dead])).toEqual([
        [0, 0, 0, 0],
        [0, 0, 0, 0],
        [0, 0, 0, 0],
      ]);
      const after = await standing(target);
      const there = Object.values(after).flat();
      // Each once: those that ran, and those that stand there as they stood.
      const high = [...states.values()].filter(({ queue, state }) => queue === 'high' && state === 'queued').map(({ id }) => String(id));
      expect(new Map([...runs].toSorted())).toEqual(new Map([...high, ...arrived].toSorted().map((id) => [id, 1])));
      const expected = [...states.values()].filter(({ id }) => !runs.has(String(id)));
      const lostThere = there.filter(({ lane, queue }) => queue === 'low' && lane === 'suspects');
      expect(lostThere).toHaveLength(50);
      expect(there).toHaveLength(expected.length + 50);
      expect(new Set(there.map(({ id }) => id)).size).toBe(there.length);
      const byId = (list: readonly Standing[]) => new Map(list.map((one) => [one['id'], one]).toSorted() as [string, Standing][]);
      expect(byId(there.filter((one) => !lostThere.includes(one)))).toEqual(byId(expected));
      // Also in their order.
      for (const [key, list] of Object.entries(before)) {
        if (key.startsWith('high') && key.endsWith('queued')) continue;
        expect(
          (after[key] ?? []).filter((one) => !lostThere.includes(one)).map(({ id }) => id),
          key,
        ).toEqual(list.map(({ id }) => id));
      }
      await worker.leave();
    },
  );
});
