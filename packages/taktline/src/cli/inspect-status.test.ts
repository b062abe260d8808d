/** `inspect`, `status` and `cancel`: what runs, what waits, who works, as tables and as documents. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Shell } from '../../test/support/cli.ts';

let shell: Shell;

beforeEach(async () => {
  shell = await Shell.open();
});

afterEach(() => shell.close());

it('shows what runs and what is scheduled', async () => {
  const worker = await shell.worker('--queues=mail.normal');
  const slow = await shell.call('mail.slow', { ms: 60_000 });
  await worker.said(/slow begun/);
  const later = await shell.call('mail.send', { to: 'later' }, '--countdown', '3000');
  expect(await shell.json('inspect', 'active')).toMatchObject({
    jobs: [{ id: slow, task: 'mail.slow', queue: 'mail.normal', worker: 'w1@test', input: { ms: 60_000 } }],
    total: 1,
  });
  expect(await shell.text('inspect', 'active')).toMatch(
    new RegExp(`^ID +TASK +QUEUE +RUNS FOR +WORKER +INPUT\n${slow}  mail.slow  mail.normal  [\\d]+ m?s +w1@test  {"ms":60000}\n$`),
  );
  expect(await shell.json('inspect', 'scheduled')).toMatchObject({
    jobs: [{ id: later, state: 'scheduled', worker: null, input: { to: 'later' } }],
  });
  expect(await shell.text('inspect', 'scheduled')).toMatch(
    new RegExp(`^ID +TASK +QUEUE +DUE IN +STATE +INPUT\n${later}  mail.send  mail.normal  49 min [\\d]+ s +scheduled  {"to":"later"}\n$`),
  );
  await shell.call('mail.send', { to: 'later still' }, '--countdown', '4000');
  const cut = await shell.run(['inspect', 'scheduled', '--limit', '1', '--json']);
  expect(JSON.parse(cut.stdout)).toMatchObject({ jobs: [{ id: later }] });
  expect(cut.stderr).toBe('these are the first 1: there may be more (--limit, up to 1000)\n');
});

it('shows the workers: their tasks, their queues, their figures', async () => {
  const worker = await shell.worker('--queues=mail.normal', '--no-supervise');
  expect(await shell.json('inspect', 'registered')).toEqual({
    workers: [{ name: 'w1@test', tasks: ['mail.drop', 'mail.headers', 'mail.send', 'mail.slow'] }],
  });
  expect(await shell.text('inspect', 'registered')).toMatch(/^WORKER +TASK\nw1@test +mail.drop\nw1@test +mail.headers\n/);
  expect(await shell.json('inspect', 'active_queues')).toEqual({
    workers: [{ name: 'w1@test', queues: [{ name: 'mail.normal', priority: 5 }] }],
  });
  expect(await shell.text('inspect', 'active_queues')).toMatch(/^WORKER +QUEUE +PRIORITY\nw1@test +mail.normal +5\n$/);
  expect(await shell.json('inspect', 'stats')).toMatchObject({
    workers: [{ name: 'w1@test', pid: worker.process.pid, running: 0, reserved: 0, pool: { kind: 'inline', size: 2, slots: 2 } }],
  });
  expect(await shell.text('inspect', 'stats')).toMatch(new RegExp(`^WORKER .*\nw1@test +${worker.process.pid} .* inline +2 `));
});

it('status counts the jobs of each queue and shows the workers', async () => {
  const worker = await shell.worker('--queues=mail.normal');
  await shell.call('mail.slow', { ms: 60_000 });
  await worker.said(/slow begun/);
  await shell.call('mail.headers');
  await shell.call('mail.send', { to: 'later' }, '--countdown', '1h');
  expect(await shell.json('status')).toMatchObject({
    broker: expect.stringMatching(/^postgres:\/\/[^@]*$/),
    queues: [
      { name: 'mail.urgent', priority: 9, ready: 1, scheduled: 0, running: 0, dead: 0, oldestWaitMs: expect.any(Number) },
      { name: 'mail.normal', priority: 5, ready: 0, scheduled: 1, running: 1, dead: 0, oldestWaitMs: null },
    ],
    workers: [{ name: 'w1@test', running: 1 }],
  });
  const [queues, workers] = (await shell.text('status')).split('\n\n');
  expect(queues).toMatch(
    /^QUEUE +PRIORITY +READY +SCHEDULED +RUNNING +DEAD +OLDEST WAITS\nmail.urgent +9 +1 +0 +0 +0 +\d+ m?s\nmail.normal +5 +0 +1 +1 +0$/,
  );
  expect(workers).toMatch(/^WORKER +STATE +RUNNING +SLOTS +QUEUES\nw1@test +alive +1 +2 +mail.normal\n$/);
});

it('an app that nobody has used yet has nothing to show, in words and in JSON', async () => {
  expect(await shell.json('inspect', 'scheduled')).toEqual({ jobs: [] });
  for (const what of ['active', 'reserved', 'revoked']) expect(await shell.json('inspect', what)).toEqual({ jobs: [], total: 0 });
  for (const what of ['registered', 'active_queues', 'stats']) expect(await shell.json('inspect', what)).toEqual({ workers: [] });
  expect(await shell.text('inspect', 'active')).toBe('no job runs\n');
  expect(await shell.text('inspect', 'stats')).toBe('no worker runs\n');
});

it('a worker whose lease has run out is lost, and one that announced nonsense does no harm', async () => {
  await shell.json('status');
  await shell.space.query(
    `insert into $ns.workers (name, info, lease_ms, started_at, expires_at) values ('gone@host', '{"tasks": 5, "pid": "x"}', 1000, 0, 1)`,
  );
  expect(await shell.text('status')).toMatch(/^gone@host +lost +0$/m);
  expect(await shell.text('inspect', 'stats')).toBe('no worker runs\n');
});

it('cancel tells for each id what became of it, and its exit code the worst of it', async () => {
  const worker = await shell.worker('--queues=mail.normal');
  const slow = await shell.call('mail.slow', { ms: 60_000 });
  await worker.said(/slow begun/);
  const waiting = await shell.call('mail.headers');
  const cancelled = await shell.run(['cancel', slow, waiting, 'nobody', '--json']);
  expect(cancelled).toMatchObject({ code: 4, stderr: '' });
  expect(JSON.parse(cancelled.stdout)).toEqual({
    jobs: [
      { id: slow, reply: 'asked' },
      { id: waiting, reply: 'done' },
      { id: 'nobody', reply: 'unknown' },
    ],
  });
  expect(await shell.run(['result', slow])).toMatchObject({ code: 1, stderr: `taktline: job ${slow} was cancelled\n` });
  expect(await shell.run(['cancel', waiting])).toMatchObject({ code: 1, stdout: expect.stringMatching(/too late: it has ended\n$/) });
  expect(await shell.text('cancel', await shell.call('mail.headers'))).toMatch(/^ID +REPLY\n\S+ +cancelled\n$/);
});
