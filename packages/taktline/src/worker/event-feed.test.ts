/** What is told to those who listen: in batches, bounded, and nothing while nobody does. */
import { beforeEach, expect, it } from 'vitest';
import { claimedJob } from '../../test/support/claimed-job.ts';
import { eventually } from '../../test/support/eventually.ts';
import type { Settlement } from '../broker/broker.ts';
import { EventFeed, type WorkerEvent } from './event-feed.ts';

let calls: (readonly string[])[];
let feed: EventFeed;
const state = { running: 1, held: 2, slots: 3 };
const job = claimedJob('send', { secret: 'hunter2' }, { id: 'j1', queue: 'mail', readyAt: 900 });
const ran = { task: 'send', startedAt: 950, ranMs: 20.4 };
const end: Settlement = { kind: 'end', job, state: 'succeeded', result: '"hunter2"', keepMs: 0 };
const events = (): readonly WorkerEvent[] => calls.flat().flatMap((text) => JSON.parse(text) as WorkerEvent[]);

beforeEach(() => {
  calls = [];
  feed = new EventFeed({
    worker: 'w1',
    now: () => 1_000,
    publish: async (texts) => {
      calls.push(texts);
    },
  });
});

it('tells nothing while nobody listens', async () => {
  feed.started([job]);
  feed.settled('succeeded', end, ran);
  feed.watched(false, state);
  await feed.stop();
  expect(calls).toEqual([]);
});

it('tells a batch in one call: who it is, what began, what ended and how', async () => {
  feed.watched(true, state);
  feed.started([job]);
  feed.settled('succeeded', end, ran);
  feed.settled('failed', { kind: 'bury', job, task: 'send', code: 'NOPE', message: 'hunter2', past: '' }, ran);
  await eventually(async () => calls.length > 0, 'a batch');
  expect(calls).toHaveLength(1);
  const about = { at: 1_000, worker: 'w1' };
  const ofJob = { ...about, job: 'j1', task: 'send', queue: 'mail' };
  expect(events()).toEqual([
    { type: 'worker-online', ...about },
    { type: 'worker-heartbeat', ...about, ...state },
    { type: 'task-started', ...ofJob },
    { type: 'task-succeeded', ...ofJob, waitedMs: 50, ranMs: 20 },
    { type: 'task-failed', ...ofJob, waitedMs: 50, ranMs: 20, code: 'NOPE' },
  ]);
  expect(JSON.stringify(calls)).not.toContain('hunter2');
});

it('tells the first of very many, and how many were left out, in texts that a broker takes', async () => {
  feed.watched(true, state);
  for (let n = 0; n < 5_000; n++) feed.settled('succeeded', { ...end, job: { ...job, id: `${'ü'.repeat(190)}${n}` } }, ran);
  await eventually(async () => calls.length > 0, 'a batch');
  expect(events()).toHaveLength(201);
  expect(events().at(-1)).toEqual({ type: 'events-left-out', at: 1_000, worker: 'w1', count: 4_802 });
  for (const text of calls.flat()) expect(Buffer.byteLength(text)).toBeLessThanOrEqual(7_000);
});

it('says good-bye when it stops', async () => {
  feed.watched(true, state);
  await feed.stop();
  expect(events().at(-1)).toEqual({ type: 'worker-offline', at: 1_000, worker: 'w1' });
});

it('a broker that takes no events harms nobody', async () => {
  const deaf = new EventFeed({ worker: 'w1', now: () => 1_000, publish: async () => Promise.reject(new Error('away')) });
  deaf.watched(true, state);
  await deaf.stop();
});
