/** What a worker counts, and that an outage or a lost reply changes no count. */
import { expect, it } from 'vitest';
import { claimedJob } from '../../test/support/claimed-job.ts';
import type { Settlement } from '../broker/broker.ts';
import { bucketOf } from '../support/histogram.ts';
import { encodePast, noPast, withAttempt } from '../task/job.ts';
import { Recorder } from './recorder.ts';

const job = claimedJob('send', null, { readyAt: 1_000, queue: 'mail' });
const ran = { task: 'send', startedAt: 1_010, ranMs: 100 };
const end: Settlement = { kind: 'end', job, state: 'succeeded', keepMs: 0 };
const retry = (outcome: 'failed' | 'deferred'): Settlement => ({
  kind: 'reschedule',
  job,
  delayMs: 1,
  past: encodePast(withAttempt(noPast, { attempt: 1, outcome, startedAt: 0, endedAt: 0, worker: 'w' })),
});

it('counts by task, queue and outcome, with how long jobs waited and ran', () => {
  const recorder = new Recorder();
  for (let n = 0; n < 3; n++) expect(recorder.settled(end, ran)).toBe('succeeded');
  expect(recorder.settled({ kind: 'end', job, state: 'cancelled', keepMs: 0 }, ran)).toBe('cancelled');
  expect(recorder.settled({ kind: 'bury', job, task: 'send', code: 'E', message: '', past: '' }, ran)).toBe('failed');
  expect(recorder.settled({ kind: 'release', job, lane: 'usual' }, ran)).toBe('handed-back');
  expect(recorder.settled(retry('failed'), ran)).toBe('retried');
  expect(recorder.settled(retry('deferred'), ran)).toBe('deferred');
  expect(recorder.settled(retry('failed'), { ...ran, task: '' })).toBe('unknown-task');
  recorder.lost('send', 'mail');
  const counts = recorder.take()?.counts ?? [];
  expect(Object.fromEntries(counts.map(({ task, outcome, count }) => [`${task} ${outcome}`, count]))).toEqual({
    'send succeeded': 3,
    'send cancelled': 1,
    'send failed': 1,
    'send handed-back': 1,
    'send retried': 1,
    'send deferred': 1,
    ' unknown-task': 1,
    'send lost': 1,
  });
  expect(counts.find(({ outcome }) => outcome === 'succeeded')).toEqual({
    task: 'send',
    queue: 'mail',
    outcome: 'succeeded',
    count: 3,
    waited: [[bucketOf(10), 3]],
    ran: [[bucketOf(100), 3]],
  });
  expect(recorder.total).toBe(9);
  expect(recorder.finished().get('send')).toBe(8);
});

it('tells the same count again until it has arrived, and what came meanwhile after it', () => {
  const recorder = new Recorder();
  expect(recorder.take()).toBeUndefined();
  recorder.settled(end, ran);
  const first = recorder.take();
  recorder.settled(end, ran);
  expect(recorder.take()).toBe(first);
  recorder.arrived(first);
  const second = recorder.take();
  expect([first?.number, second?.number, second?.counts[0]?.count]).toEqual([1, 2, 1]);
  // An answer that comes late says nothing about the one that is on its way now.
  recorder.arrived(first);
  expect(recorder.take()).toBe(second);
  recorder.arrived(second);
  expect(recorder.take()).toBeUndefined();
});
