/** Topic: enqueue. Jobs come out in their order, byte for byte as they went in. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Subject } from './subject.ts';
import { end, ids, job, jobs, numbers, shuffled, TestWorker } from './test-worker.ts';

/** Texts that trip over quoting, escaping, copying or counting somewhere. */
const awkward = [
  '',
  ' ',
  'O\'Reilly "quoted" `ticked`',
  '\\ \\\\ \\n \\u0000 \\x1e',
  'NULL null {} {a,b} (1,2) [3] $1 $$ %s :name ?',
  "'; drop schema public cascade; --",
  'tab\t newline\n return\r nul\u0000 separators\u001c\u001d\u001e\u001f delete\u007f',
  'Grüße, 你好, שלום, مرحبا, नमस्ते',
  '👩‍👩‍👧‍👦 🏳️‍🌈 e\u0301 \u{10ffff}',
  'lines\u2028and\u2029paragraphs, \ufeffmark, \u200bnothing',
  'half a pair \ud800 and the other \udfff, the wrong way \udc00\ud800',
];

export function enqueueing(subject: Subject): void {
  describe('enqueue', () => {
    it('jobs come by priority, and by arrival below that', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const random = numbers(1);
      const sent = shuffled(
        Array.from({ length: 120 }, (_, index) => ({ id: `job-${index}`, priority: (index % 10) + 1 })),
        random,
      );
      for (let from = 0; from < sent.length; from += 17) {
        await broker.enqueue(sent.slice(from, from + 17).map(({ id, priority }) => job(id, { priority })));
      }
      const worker = await TestWorker.join(broker);
      const inOrder = [...sent].sort((a, b) => b.priority - a.priority);
      expect(ids(await worker.takeAll({ limit: 13 }))).toEqual(ids(inOrder));
    });

    it('says of each job of a batch that it was made, for no job, one, and a thousand', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      expect(await broker.enqueue([])).toEqual([]);
      expect(await broker.enqueue([job('one')])).toEqual(['created']);
      const thousand = jobs(1_000);
      expect(await broker.enqueue(thousand)).toEqual(thousand.map(() => 'created'));
      expect((await inspector.queues()).find(({ name }) => name === 'usual')?.ready).toBe(1_001);
    });

    it('hands on what it was given, and when it came', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      const before = (await worker.claimOfNew('before')).enqueuedAt;
      await broker.enqueue([job('it', { queue: 'high', priority: 3, envelope: '{"some":"thing"}' })]);
      const after = (await worker.claimOfNew('after', 'low')).enqueuedAt;
      const claim = await worker.claim();
      expect(claim).toMatchObject({ lane: 'usual' });
      const [it] = claim?.jobs ?? [];
      expect(it).toMatchObject({
        claim: claim?.id,
        lane: 'usual',
        position: 0,
        id: 'it',
        queue: 'high',
        envelope: '{"some":"thing"}',
        past: undefined,
        expiresAt: undefined,
      });
      expect(it?.enqueuedAt).toBeGreaterThanOrEqual(before);
      expect(it?.enqueuedAt).toBeLessThanOrEqual(after);
      expect(claim?.claimedAt).toBeGreaterThanOrEqual(after);
      expect(claim?.lost).toBeUndefined();
    });

    it('an envelope, a past and a result come back byte for byte', async () => {
      await using space = await subject.space();
      const { broker, inspector } = await space.open();
      const worker = await TestWorker.join(broker);
      const texts = awkward.map((text) => JSON.stringify({ text, [text]: [text] }));
      await broker.enqueue(texts.map((envelope, index) => job(`job-${index}`, { envelope })));
      expect((await inspector.jobs('queued', { limit: 100 })).map(({ envelope }) => envelope)).toEqual(texts);
      const first = await worker.take();
      expect(first.map(({ envelope }) => envelope)).toEqual(texts);
      await worker.done(...first.map((job, index) => ({ kind: 'reschedule' as const, job, delayMs: 0, past: texts[index] as string })));
      const second = await worker.take();
      expect(second.map(({ envelope }) => envelope)).toEqual(texts);
      expect(second.map(({ past }) => past)).toEqual(texts);
      await worker.done(...second.map((job, index) => end(job, { result: texts[index] as string, past: texts[index] as string })));
      const ended = new Map((await broker.ended(ids(second))).map((one) => [one.id, one]));
      expect(ids(second).map((id) => ended.get(id)?.result)).toEqual(texts);
      expect(ids(second).map((id) => ended.get(id)?.past)).toEqual(texts);
    });

    it('any JSON comes back as it was, in batches of any size', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      const envelope = fc.oneof(
        fc.json(),
        fc.string({ unit: 'binary', maxLength: 200 }).map((text) => JSON.stringify(text)),
      );
      await fc.assert(
        fc.asyncProperty(fc.array(envelope, { minLength: 1, maxLength: 30 }), async (envelopes) => {
          await broker.enqueue(envelopes.map((envelope, index) => job(`job-${index}`, { envelope })));
          const taken = await worker.take();
          await worker.done(...taken.map((job) => end(job, { result: job.envelope, keepMs: 0 })));
          expect(taken.map((job) => job.envelope)).toEqual(envelopes);
        }),
        { numRuns: 60 },
      );
    });

    it('a payload of 1 MiB comes back whole, as a result too', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const worker = await TestWorker.join(broker);
      const random = numbers(2);
      const text = Array.from({ length: 65_536 }, () =>
        Math.floor(random() * 0xffff_ffff)
          .toString(16)
          .padStart(8, '0'),
      ).join('é');
      const envelope = JSON.stringify({ text }).slice(0, 1_048_576 - 65_600);
      expect(Buffer.byteLength(envelope)).toBeGreaterThan(600_000);
      const big = [envelope, 'x'.repeat(1_048_576), '\u00e9'.repeat(524_288)];
      await broker.enqueue(big.map((envelope, index) => job(`job-${index}`, { envelope })));
      const taken = await worker.takeAll();
      expect(taken.map((job) => job.envelope === big[Number(job.id.slice(4))])).toEqual([true, true, true]);
      await worker.done(...taken.map((job) => end(job, { result: job.envelope })));
      const ended = await broker.ended(ids(taken));
      expect(ended.map(({ id, result }) => result === big[Number(id.slice(4))])).toEqual([true, true, true]);
    });

    it('a queue that no app has declared is refused, and nothing of the batch is made', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      await expect(broker.enqueue([job('good'), job('bad', { queue: 'nowhere' })])).rejects.toMatchObject({ code: 'UNKNOWN_QUEUE' });
      expect(await broker.states(['good', 'bad'])).toEqual([undefined, undefined]);
    });

    it('a queue that another app has declared since is known', async () => {
      await using space = await subject.space();
      const { broker } = await space.open();
      const other = await space.open({ queues: [{ name: 'new', priority: 1 }] });
      expect(await broker.enqueue([job('it', { queue: 'new' })])).toEqual(['created']);
      const worker = await TestWorker.join(other.broker);
      expect(ids(await worker.take({ queues: ['new'] }))).toEqual(['it']);
    });
  });
}
