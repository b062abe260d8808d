/**
 * Two beats, of which the leader is killed and frozen at random: there is exactly one job for each tick. TAKTLINE_LONG=1
 * (`npm run test:long`) makes it 200 ticks and 20 faults.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import type { Child } from '../support/child.ts';
import { eventually } from '../support/eventually.ts';
import { onEachBroker } from '../support/harness.ts';

const long = process.env['TAKTLINE_LONG'] === '1';
const [ticksWanted, faultsWanted] = long ? [200, 20] : [10, 3];

onEachBroker('beats that are killed and frozen', (h) => {
  it(`${ticksWanted} ticks with ${faultsWanted} faults are ${ticksWanted} jobs`, { timeout: (ticksWanted + 60) * 1_000 }, async (test) => {
    const app = h.app();
    const ran: string[] = [];
    app.task({ name: 'work', queue: 'work', run: (_, ctx) => void ran.push(ctx.id) });
    await h.work(app, { concurrency: 5 });
    const beats: Child[] = [];
    const start = () => beats.push(h.child('fault-beat.mjs'));
    start();
    start();

    const leader = () => beats.find(({ messages }) => (messages.at(-1) as { readonly leads?: boolean } | undefined)?.leads === true);
    const dues = () => [...new Set(ran)].map((id) => Date.parse(id.slice('tick:each-second:'.length))).toSorted((a, b) => a - b);
    await eventually(async () => dues().length > 0, 'the first tick');
    const [first] = dues() as [number];

    const faults: string[] = [];
    const spacingMs = (ticksWanted * 1_000) / (faultsWanted + 1);
    const thaws: Promise<void>[] = [];
    while (faults.length < faultsWanted) {
      await sleep(spacingMs * (0.5 + Math.random() * 0.5));
      const victim = await eventually(async () => leader(), 'one leads');
      // Out of the list: what it said last is not what it is.
      beats.splice(beats.indexOf(victim), 1);
      if (faults.length % 2 === 0) {
        victim.kill('SIGKILL');
        await victim.exited;
        start();
        faults.push('killed');
      } else {
        victim.kill('SIGSTOP');
        faults.push('frozen');
        thaws.push(
          sleep(1_000 + Math.random() * 4_000).then(() => {
            victim.kill('SIGCONT');
            beats.push(victim);
          }),
        );
      }
    }
    await Promise.all(thaws);
    await eventually(async () => (dues().at(-1) as number) >= first + (ticksWanted - 1) * 1_000, 'the last tick', {
      withinMs: (ticksWanted + 40) * 1_000,
      everyMs: 100,
    });
    const last = first + (ticksWanted - 1) * 1_000;
    // A tick that was taken over may come after a later one.
    await eventually(async () => dues().filter((due) => due <= last).length >= ticksWanted, 'all ticks').catch(() => undefined);
    const jobs = ran.filter((id) => Date.parse(id.slice('tick:each-second:'.length)) <= last);
    expect(jobs.toSorted()).toEqual(
      Array.from({ length: ticksWanted }, (_, index) => `tick:each-second:${new Date(first + index * 1_000).toISOString()}`),
    );
    expect(await app.schedules.show('each-second')).toMatchObject({ missed: 0, skipped: 0 });
    await test.annotate(`${jobs.length} jobs for ${ticksWanted} ticks; leaders ${faults.join(', ')}`);
  });
});
