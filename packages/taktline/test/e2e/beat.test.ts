/** Schedules and beats: one job for each tick, whoever runs; what is late, overlaps, is paused, changed or wrong. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { type App, attachApp, type ScheduleOptions } from '../../src/index.ts';
import { eventually } from '../support/eventually.ts';
import { Gate } from '../support/gate.ts';
import { onEachBroker } from '../support/harness.ts';

onEachBroker('beat', (h) => {
  const minute = 60_000;
  const tick = /^tick:([^:]+):(.*)$/;

  function make() {
    const app = h.app();
    const gate = new Gate();
    const work = app.task({
      name: 'work',
      queue: 'work',
      input: z.object({ n: z.number(), token: z.string().meta({ sensitive: true }).optional() }),
      run: () => 'done',
    });
    const held = app.task({ name: 'held', queue: 'work', run: (_, ctx) => gate.pass(ctx.signal) });
    return { app, work, held, gate };
  }

  async function beat(app: App) {
    const running = app.beat({ lease: '2s' });
    await running.start();
    return running;
  }

  /** Due times of the ticks of a schedule that were enqueued, in order. */
  async function ticks(app: App, name: string): Promise<readonly number[]> {
    const waiting = await app.inspector.jobs('queued', { limit: 1_000 });
    const ended = await h.store.ended();
    return [...waiting, ...ended]
      .flatMap(({ id }) => {
        const match = tick.exec(id);
        return match?.[1] === name ? [Date.parse(match[2] as string)] : [];
      })
      .toSorted((a, b) => a - b);
  }

  it('enqueues a job for each tick, once, with two beats of which one leads; the other leads at once when it stops', async () => {
    const { app, work } = make();
    app.schedule({ name: 'each-second', task: work, input: { n: 1 }, every: '1s' });
    const [one, other] = [await beat(app), await beat(app)];
    const leader = await eventually(async () => [one, other].find(({ leads }) => leads), 'one leads');
    const count = async () => (await ticks(app, 'each-second')).length;
    await eventually(async () => (await count()) >= 3, 'three ticks');
    expect([one, other].filter(({ leads }) => leads)).toHaveLength(1);
    const before = await count();
    const stopped = performance.now();
    await leader.stop();
    await eventually(async () => (await count()) >= before + 2, 'two more');
    // It did not wait for the lease of 2 s.
    expect(performance.now() - stopped).toBeLessThan(4_000);
    await app.close();
    const looking = h.app();
    const due = await ticks(looking, 'each-second');
    expect(due).toEqual(due.map((_, index) => (due[0] as number) + index * 1_000));
    for (const at of due) expect(at % 1_000).toBe(0);
    const view = await looking.schedules.show('each-second');
    expect(view).toMatchObject({ runs: due.length, missed: 0, skipped: 0, given: [], source: 'code', everyMs: 1_000, paused: false });
    expect(view.lastRun).toEqual({
      due: new Date(due.at(-1) as number).toISOString(),
      job: `tick:each-second:${new Date(due.at(-1) as number).toISOString()}`,
    });
    expect(Date.parse(view.nextRun ?? '') - (due.at(-1) as number)).toBeGreaterThanOrEqual(1_000);
  });

  it('gives the job its input, its options and its queue, and shows them with secrets masked', async () => {
    const { app, work } = make();
    app.schedule({
      name: 'rich',
      task: work,
      input: { n: 7, token: 'hunter2' },
      every: '1s',
      priority: 9,
      expires: '1h',
      headers: { tenant: 'a' },
    });
    await beat(app);
    const id = await eventually(async () => (await app.schedules.show('rich')).lastRun?.job, 'a tick');
    const job = await app.inspector.job(id);
    expect(job).toMatchObject({ task: 'work', queue: 'work', priority: 9, input: { n: 7 }, headers: { tenant: 'a' } });
    expect(Date.parse(job?.expiresAt ?? '') - Date.parse(job?.enqueuedAt ?? '')).toBe(3_600_000);
    const view = await app.schedules.show('rich');
    expect(view).toMatchObject({ task: 'work', queue: 'work', priority: 9, input: { n: 7 } });
    expect(JSON.stringify([view, job, h.log.raw])).not.toContain('hunter2');
    await h.work(app);
    expect(await app.handle(id).result({ timeout: '10s' })).toBe('done');
  });

  describe('ticks that nobody ran for ten minutes', () => {
    it.each<[NonNullable<ScheduleOptions['catchUp']>, number, number]>([
      ['skip', 0, 10],
      ['latest', 1, 9],
      [{ all: 4 }, 4, 6],
      [{ all: 100 }, 10, 0],
    ])('with %j', async (catchUp, run, missed) => {
      const { app, work } = make();
      await app.schedules.add({ name: 'late', task: work, input: { n: 1 }, every: '1m', catchUp });
      await h.store.putEarlier('late', 10 * minute);
      await beat(app);
      await eventually(async () => {
        const { runs, missed } = await app.schedules.show('late');
        return runs + missed >= 10;
      }, 'they are dealt with');
      const view = await app.schedules.show('late');
      // Ten minutes hold ten ticks. The newest of them may be punctual, and another one may have come.
      expect([missed, Math.max(0, missed - 1)]).toContain(view.missed);
      expect(view.runs - run).toBeGreaterThanOrEqual(0);
      expect(view.runs - run).toBeLessThanOrEqual(2);
      expect(view.given.map(({ why }) => why)).toEqual(Array.from({ length: view.missed }, () => 'late'));
      const due = await ticks(app, 'late');
      expect(due).toHaveLength(view.runs);
      expect(due).toEqual(due.map((_, index) => (due.at(-1) as number) - (due.length - 1 - index) * minute));
    });
  });

  it('what comes once comes once, also when its time has passed, and not again when it is put again', async () => {
    const { app, work } = make();
    const at = Date.now() - 600_000;
    await app.schedules.add({ name: 'once', task: work, input: { n: 1 }, at });
    await app.schedules.add({ name: 'soon', task: work, input: { n: 1 }, at: Date.now() + 700 });
    await beat(app);
    await eventually(
      async () => (await app.schedules.show('once')).runs === 1 && (await app.schedules.show('soon')).runs === 1,
      'both ran',
    );
    expect(await app.schedules.show('once')).toMatchObject({ nextRun: undefined, missed: 0, lastRun: { due: new Date(at).toISOString() } });
    await app.schedules.add({ name: 'once', task: work, input: { n: 2 }, at });
    await app.schedules.add({ name: 'third', task: work, input: { n: 1 }, every: '1s' });
    await eventually(async () => (await app.schedules.show('third')).runs >= 1, 'the beat has seen it');
    expect(await ticks(app, 'once')).toEqual([at]);
  });

  it('with overlap skip no tick runs beside an earlier one; with queue one waits', async () => {
    const { app, held, gate } = make();
    app.schedule({ name: 'skip', task: held, every: '1s', overlap: 'skip' });
    app.schedule({ name: 'queue', task: held, every: '1s', overlap: 'queue' });
    await h.work(app, { concurrency: 10 });
    await beat(app);
    const skipped = async (name: string) => (await app.schedules.show(name)).skipped;
    await eventually(async () => (await skipped('skip')) >= 2 && (await skipped('queue')) >= 2, 'ticks are skipped');
    expect([(await app.schedules.show('skip')).runs, (await app.schedules.show('queue')).runs]).toEqual([1, 2]);
    expect((await app.schedules.show('skip')).given[0]).toMatchObject({ why: 'overlap' });
    gate.open();
    await eventually(
      async () => (await app.schedules.show('skip')).runs >= 2 && (await app.schedules.show('queue')).runs >= 3,
      'they run again',
    );
  });

  it('a paused schedule does not run, and what would have been due meanwhile is not run later', async () => {
    const { app, work } = make();
    await app.schedules.add({ name: 'paused', task: work, input: { n: 1 }, every: '1s', catchUp: { all: 100 } });
    await app.schedules.add({ name: 'other', task: work, input: { n: 1 }, every: '1s' });
    await app.schedules.pause(['paused']);
    await beat(app);
    await eventually(async () => (await app.schedules.show('other')).runs >= 2, 'the other runs');
    expect(await app.schedules.show('paused')).toMatchObject({ runs: 0, missed: 0, paused: true, nextRun: undefined });
    const resumed = Date.now();
    await app.schedules.resume(['paused']);
    await eventually(async () => (await app.schedules.show('paused')).runs >= 1, 'it runs again');
    for (const due of await ticks(app, 'paused')) expect(due).toBeGreaterThan(resumed - 1_000);
  });

  it('is run by hand beside its ticks, is removed, and unknown names are said', async () => {
    const { app, work } = make();
    await app.schedules.add({ name: 'yearly', task: work, input: { n: 1 }, cron: '0 0 1 1 *', timeZone: 'Europe/Berlin' });
    await h.work(app);
    await app.schedules.pause(['yearly']);
    const handle = await app.schedules.run('yearly');
    expect(await handle.result({ timeout: '10s' })).toBe('done');
    expect(await app.schedules.show('yearly')).toMatchObject({ runs: 0, cron: '0 0 1 1 *', timeZone: 'Europe/Berlin', source: 'person' });
    await app.schedules.remove(['yearly']);
    expect(await app.schedules.list()).toEqual([]);
    for (const call of [() => app.schedules.run('yearly'), () => app.schedules.show('yearly'), () => app.schedules.remove(['yearly'])])
      await expect(call()).rejects.toMatchObject({ code: 'SCHEDULE_NOT_FOUND' });
    for (const verb of ['pause', 'resume'] as const)
      await expect(app.schedules[verb](['gone'])).rejects.toMatchObject({
        code: 'SCHEDULE_NOT_FOUND',
        message: expect.stringContaining('gone') as string,
      });
  });

  it('schedules of the code follow the code: new ones come, changed ones change, those that are gone go; those of people stay', async () => {
    const first = make();
    first.app.schedule({ name: 'kept', task: first.work, input: { n: 1 }, every: '1h' });
    first.app.schedule({ name: 'gone', task: first.work, input: { n: 1 }, every: '1h' });
    await first.app.schedules.add({ name: 'mine', task: first.work, input: { n: 1 }, every: '1h' });
    await beat(first.app);
    await first.app.schedules.pause(['kept']);
    await expect(first.app.schedules.add({ name: 'kept', task: first.work, input: { n: 2 }, every: '2h' })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
    });
    await first.app.close();
    const second = make();
    second.app.schedule({ name: 'kept', task: second.work, input: { n: 2 }, every: '2h' });
    second.app.schedule({ name: 'new', task: 'work', input: { n: 1 }, every: '1h' });
    await beat(second.app);
    expect((await second.app.schedules.list()).map(({ name, source, everyMs, paused }) => [name, source, everyMs, paused])).toEqual([
      ['kept', 'code', 7_200_000, true],
      ['mine', 'person', 3_600_000, false],
      ['new', 'code', 3_600_000, false],
    ]);
    // One without schedules of its own leaves all as it is.
    const third = make();
    await beat(third.app);
    expect(await third.app.schedules.list()).toHaveLength(3);
  });

  it('is put by a program without the code, by what workers have described, and refused when the input does not fit', async () => {
    const { app } = make();
    await h.work(app);
    const attached = attachApp({ brokerUrl: h.store.url, namespace: h.store.name, logger: h.log.logger });
    try {
      const view = await attached.schedules.add({ name: 'from-outside', task: 'work', input: { n: 1, token: 'hunter2' }, every: '1h' });
      expect(view).toMatchObject({ task: 'work', queue: 'work', input: { n: 1 } });
      expect(JSON.stringify(view)).not.toContain('hunter2');
      const bad = [
        { input: { n: 'one' }, code: 'INVALID_INPUT' },
        { task: 'nothing', code: 'UNKNOWN_TASK' },
        { name: 'a b', code: 'INVALID_OPTION' },
        { every: 10, code: 'INVALID_OPTION' },
        { cron: '* * * * *', code: 'INVALID_OPTION' },
        { timeZone: 'UTC', code: 'INVALID_OPTION' },
        { overlap: 'never' as 'skip', code: 'INVALID_OPTION' },
        { catchUp: { all: 0 }, code: 'INVALID_OPTION' },
        { priority: 11, code: 'INVALID_OPTION' },
      ];
      for (const { code, ...wrong } of bad) {
        const options = { name: 'bad', task: 'work', input: { n: 1 }, every: '1h' as const, ...wrong };
        await expect(attached.schedules.add(options), JSON.stringify(wrong)).rejects.toMatchObject({ code });
      }
      expect(await attached.schedules.list()).toHaveLength(1);
    } finally {
      await attached.close();
    }
  });

  it('what the code declares is checked: at once what can be, the input when the beat starts', async () => {
    const { app, work } = make();
    expect(() => app.schedule({ name: 'a', task: 'nothing', every: '1h' })).toThrow(
      expect.objectContaining({ code: 'UNKNOWN_TASK' }) as Error,
    );
    expect(() => app.schedule({ name: 'a', task: work, input: { n: 1 } })).toThrow(/one of cron, every and at/);
    expect(() => app.schedule({ name: 'a', task: work, input: { n: 1 }, cron: 'x' })).toThrow(/schedule "a": cron/);
    expect(() => app.beat({ lease: '1s' })).toThrow(/lease/);
    app.schedule({ name: 'a', task: work, input: { n: 'one' } as never, every: '1h' });
    expect(() => app.schedule({ name: 'a', task: work, input: { n: 1 }, every: '1h' })).toThrow(/twice/);
    await expect(app.beat().start()).rejects.toMatchObject({ code: 'INVALID_INPUT' });
    expect(await app.schedules.list()).toEqual([]);
  });

  describe.each([
    ['ahead', 3_600_000],
    ['behind', -3_600_000],
  ])('a beat whose clock is an hour %s', (_, offMs) => {
    afterEach(() => {
      vi.restoreAllMocks();
    });

    it("runs what is due by the broker's clock", async () => {
      const { app, work } = make();
      app.schedule({ name: 'each-second', task: work, input: { n: 1 }, every: '1s' });
      app.schedule({ name: 'in-half-an-hour', task: work, input: { n: 1 }, at: Date.now() + 1_800_000 });
      const real = Date.now.bind(Date);
      vi.spyOn(Date, 'now').mockImplementation(() => real() + offMs);
      const began = real();
      await beat(app);
      await eventually(async () => (await ticks(app, 'each-second')).length >= 2, 'two ticks');
      for (const due of await ticks(app, 'each-second')) expect(Math.abs(due - began)).toBeLessThan(20_000);
      expect(await ticks(app, 'in-half-an-hour')).toEqual([]);
    });
  });

  it('a beat is live while it comes round, and says when it does not', async () => {
    const { app } = make();
    const running = await beat(app);
    expect(running.health()).toMatchObject({ live: true });
    const real = performance.now.bind(performance);
    vi.spyOn(performance, 'now').mockImplementation(() => real() + 60_000);
    expect(running.health().live).toBe(false);
    expect(running.health().stalledMs).toBeGreaterThan(50_000);
    vi.restoreAllMocks();
  });
});
