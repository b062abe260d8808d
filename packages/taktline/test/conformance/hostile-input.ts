/**
 * Topic: hostile input. What reaches a broker was checked before by names.ts and the client; a broker still treats every
 * text as data: it takes it exactly as it is, or refuses it in words, and in both cases nothing else changes.
 */
import { describe, expect, it } from 'vitest';
import type { ClaimedJob, NewJob } from '../../src/broker/broker.ts';
import { TaktlineError } from '../../src/support/taktline-error.ts';
import { eventually } from '../support/eventually.ts';
import type { Subject } from './subject.ts';
import { bury, end, ids, job, jobs, named, numbers, past, TestWorker } from './test-worker.ts';

const texts: Readonly<Record<string, string>> = {
  'a quote': "it's",
  'two quotes': "''''",
  'double quotes': '"; drop table "ready"; --',
  SQL: "'); delete from ready; select ('",
  braces: '{a,b}',
  'half a brace': '{',
  'an array with null': '{null,NULL}',
  null: 'null',
  'a backslash': 'back\\slash\\',
  placeholders: '$1 $2 %s ? :name @x',
  'a hash tag': '{tag}:key:*[a-z]?',
  JSON: '{"__proto__":{"x":1}}',
  newlines: 'one\r\ntwo\n\tthree',
  commas: 'a,b,,c',
  colons: '1:2:3',
  spaces: ' a  b ',
  'the record separator': 'one\x1etwo',
  'other separators': '\x1c\x1d\x1f',
  NUL: 'nul\0nul',
  'half a surrogate pair': 'half \ud800',
  markup: '<script>alert(1)</script>',
  'right to left': '\u202eabc\u2066',
  '3 kB': 'k'.repeat(3_000),
  // Random, so that nothing can compress it into what would fit.
  '20 kB': Array.from(
    { length: 20_000 },
    (
      (random) => () =>
        String.fromCharCode(33 + Math.floor(random() * 90))
    )(numbers(6)),
  ).join(''),
  'nothing at all': '',
  __proto__: '__proto__',
  constructor: 'constructor',
};

const shapes: Readonly<Record<string, Partial<NewJob>>> = {
  plain: {},
  unique: named(),
  timed: { countdownMs: 1 },
  'unique and expiring': { ...named(), expiresInMs: 600_000 },
};

/** The error that a broker refuses a text with: about the text, not about the server. */
async function refusalOf(call: Promise<unknown> | (() => Promise<unknown>)): Promise<TaktlineError | undefined> {
  try {
    await (typeof call === 'function' ? call() : call);
    return undefined;
  } catch (error) {
    expect(error).toBeInstanceOf(TaktlineError);
    const refusal = error as TaktlineError;
    expect(['INVALID_INPUT', 'INVALID_OPTION', 'PAYLOAD_TOO_LARGE', 'UNKNOWN_QUEUE']).toContain(refusal.code);
    return refusal;
  }
}

export function hostileInput(subject: Subject): void {
  describe('hostile input', () => {
    for (const [shape, more] of Object.entries(shapes)) {
      it(`as the id of a job (${shape}): made exactly as it is, or refused`, async () => {
        await using space = await subject.space();
        const { broker, inspector } = await space.open();
        const worker = await TestWorker.join(broker);
        for (const [name, text] of Object.entries(texts)) {
          const batch = [job(`before ${name}`, more), job(text, more), job(`after ${name}`, more)];
          const refusal = await refusalOf(broker.enqueue(batch));
          const taken: ClaimedJob[] = [];
          if (refusal === undefined) {
            await eventually(async () => taken.push(...(await worker.take())) === 3, `the jobs of ${name} come`);
            expect(ids(taken).toSorted(), name).toEqual(ids(batch).toSorted());
            expect(await broker.states([text]), name).toEqual(['running']);
            expect((await inspector.job(text))?.id, name).toBe(text);
            expect(await broker.cancel([text]), name).toEqual(['asked']);
            await worker.done(...taken.map((one) => (one.id === text ? bury(one) : end(one, { keepMs: 0 }))));
            expect(ids((await inspector.deadLetters({ ids: [text] }, 10, undefined)).items), name).toEqual([text]);
            expect(await inspector.discard({ ids: [text] }, 10), name).toEqual([text]);
          }
          expect(await worker.takeAll(), name).toEqual([]);
          expect((await inspector.queues()).map(({ ready, scheduled, running, dead }) => ready + scheduled + running + dead)).toEqual([
            0, 0, 0,
          ]);
        }
      });
    }

    it('as an envelope, a past, a result: kept exactly as it is, or refused', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      for (const [name, text] of Object.entries(texts)) {
        const [before, it, after] = [job(`before ${name}`), job(`it ${name}`), job(`after ${name}`)];
        const sent = (await refusalOf(broker.enqueue([before, { ...it, envelope: text }, after]))) === undefined;
        if (!sent) await broker.enqueue([before, it, after]);
        const first = await worker.take();
        expect(first.map(({ id, envelope }) => [id, envelope])).toEqual([
          [before.id, before.envelope],
          [it.id, sent ? text : it.envelope],
          [after.id, after.envelope],
        ]);
        const back = (value: string) =>
          first.map((one, index) => ({
            kind: 'reschedule' as const,
            job: one,
            delayMs: 0,
            past: index === 1 ? value : past({ failures: index }),
          }));
        const marked = (await refusalOf(worker.settle(...back(text)))) === undefined;
        if (!marked) await worker.done(...back('{}'));
        const second = await worker.take();
        // A past that is empty is none.
        expect(
          second.map((one) => one.past ?? ''),
          name,
        ).toEqual([past({ failures: 0 }), marked ? text : '{}', past({ failures: 2 })]);
        const ends = (result: string) =>
          second.map((one, index) => end(one, { result: index === 1 ? result : `"${index}"`, past: result }));
        const kept = (await refusalOf(worker.settle(...ends(text)))) === undefined;
        if (!kept) await worker.done(...ends('"it"'));
        const ended = new Map((await broker.ended([before.id, it.id, after.id])).map((one) => [one.id, one]));
        expect(
          [before, it, after].map(({ id }) => ended.get(id)?.result ?? ''),
          name,
        ).toEqual(['"0"', kept ? text : '"it"', '"2"']);
        expect(ended.get(after.id)?.past ?? '', name).toEqual(kept ? text : '"it"');
      }
    });

    it('as the name of a queue: a queue of that name, or refused', async () => {
      await using space = await subject.space();
      for (const [name, text] of Object.entries(texts)) {
        const instance = space.make({
          queues: [
            { name: text, priority: 5 },
            { name: 'usual', priority: 5 },
          ],
        });
        if ((await refusalOf(instance.broker.open())) !== undefined) continue;
        const { broker, inspector } = instance;
        const worker = await TestWorker.join(broker);
        if ((await refusalOf(broker.enqueue([job(`in-${name}`, { queue: text }), job(`beside-${name}`)]))) !== undefined) continue;
        const counts = new Map((await inspector.queues()).map((queue) => [queue.name, queue.ready]));
        expect(counts.get(text), name).toBe(1);
        const taken = await worker.take({ queues: [text] });
        expect(
          taken.map(({ id, queue }) => [id, queue]),
          name,
        ).toEqual([[`in-${name}`, text]]);
        expect(await broker.pulse(worker.id, [text], {})).toMatchObject({ alive: true });
        await worker.done(bury(taken[0] as ClaimedJob));
        expect(ids((await inspector.deadLetters({ queue: text }, 10, undefined)).items), name).toEqual([`in-${name}`]);
        expect(await inspector.purge(text, 10), name).toBe(0);
        expect(ids(await worker.take({ queues: ['usual'] })), name).toEqual([`beside-${name}`]);
        await worker.leave();
      }
      const { inspector } = await space.open();
      expect((await inspector.queues()).map(({ name }) => name)).toContain('high');
    });

    it('as the name of a worker, of a task, in filters and cursors: data, or refused', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const keeper = await TestWorker.join(broker, { name: 'keeper' });
      await keeper.done(bury(await keeper.claimOfNew('letter'), { task: 'known' }));
      for (const [name, text] of Object.entries(texts)) {
        let id: string | undefined;
        await refusalOf(async () => {
          id = await broker.join({ name: text, leaseMs: 60_000, info: { [text]: text } });
        });
        if (id !== undefined) {
          const found = (await inspector.workers()).find((worker) => worker.id === id);
          if (name !== 'half a surrogate pair') expect([found?.name, found?.info], name).toEqual([text, { [text]: text }]);
          await broker.leave(id);
        }
        await refusalOf(inspector.deadLetters({}, 10, text));
        for (const filter of [{ task: text }, { code: text }, { ids: [text] }, { queue: text }]) {
          await refusalOf(async () => expect((await inspector.deadLetters(filter, 10, undefined)).items, name).toEqual([]));
          await refusalOf(async () => expect(await inspector.redrive(filter, 10), name).toEqual([]));
          await refusalOf(async () => expect(await inspector.discard(filter, 10), name).toEqual([]));
        }
        await refusalOf(async () => expect(await inspector.job(text), name).toBeUndefined());
        await refusalOf(async () => expect(await broker.states([text]), name).toEqual([undefined]));
        await refusalOf(async () => expect(await broker.ended([text]), name).toEqual([]));
        await refusalOf(async () => expect(await inspector.jobs('queued', { queue: text, limit: 1 }), name).toEqual([]));
      }
      expect(await broker.states(['letter'])).toEqual(['failed']);
      expect((await inspector.workers()).map(({ name }) => name)).toEqual(['keeper']);
    });

    it('a batch in which one job is refused makes none, and the broker goes on', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const batch = [...jobs(5), job('bad\0id'), ...jobs(5, 'more')];
      expect(await refusalOf(broker.enqueue(batch))).toMatchObject({ code: 'INVALID_INPUT' });
      expect(new Set(await broker.states(ids(jobs(5))))).toEqual(new Set([undefined]));
      expect(await broker.enqueue(jobs(5))).toHaveLength(5);
    });
  });
}
