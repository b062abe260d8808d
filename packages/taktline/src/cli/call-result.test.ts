/** `taktline call` and `taktline result`: the way in and the way out of one job. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Shell } from '../../test/support/cli.ts';

let shell: Shell;

beforeEach(async () => {
  shell = await Shell.open();
});

afterEach(() => shell.close());

interface Job {
  readonly id: string;
  readonly input: unknown;
  readonly enqueuedAt: string;
  readonly dueAt: string;
  readonly expiresAt: string;
}

async function scheduled(...options: readonly string[]): Promise<readonly Job[]> {
  return ((await shell.json('inspect', 'scheduled', ...options)) as { readonly jobs: readonly Job[] }).jobs;
}

it('call enqueues with every option, and prints the id alone', async () => {
  const id = await shell.call(
    'mail.send',
    { to: 'a' },
    '--countdown=1h',
    '--queue=mail.urgent',
    '--priority=9',
    '--headers={"tenant":"t1"}',
    '--expires=2d',
  );
  const jobs = await scheduled();
  expect(jobs).toMatchObject([
    {
      id,
      task: 'mail.send',
      queue: 'mail.urgent',
      priority: 9,
      state: 'scheduled',
      headers: { tenant: 't1' },
      input: { to: 'a' },
      result: null,
    },
  ]);
  const [job] = jobs as [Job];
  expect(Date.parse(job.dueAt) - Date.parse(job.enqueuedAt)).toBe(3_600_000);
  expect(Date.parse(job.expiresAt) - Date.parse(job.enqueuedAt)).toBe(2 * 86_400_000);
});

it('call takes a time with its zone, and an id that makes one job', async () => {
  const given = ['call', 'mail.send', '-a', '{"to":"b"}', '--task-id', 'mine', '--eta', '2099-01-01T00:00:00+01:00'];
  expect(await shell.json(...given)).toEqual({ id: 'mine', task: 'mail.send' });
  expect(await shell.call('mail.send', { to: 'b' }, '--id', 'mine')).toBe('mine');
  expect(await shell.run(['call', 'mail.send', '--input', '{"to":"c"}', '--id', 'mine'])).toMatchObject({
    code: 1,
    stdout: '',
    stderr: expect.stringMatching(/^taktline: id "mine" already names a job with another task or input\n$/),
  });
  expect((await scheduled('--queue', 'mail.normal')).map((job) => [job.id, job.dueAt])).toEqual([['mine', '2098-12-31T23:00:00.000Z']]);
  expect(await scheduled('--queue', 'mail.urgent')).toEqual([]);
});

it('call takes its input from standard input and from a file', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'taktline-cli-'));
  try {
    await writeFile(join(folder, 'input.json'), '{"to":"file"}');
    const piped = await shell.run(['call', 'mail.send', '--input', '-', '--countdown', '100'], { input: '{"to":"stdin"}' });
    expect(piped.code).toBe(0);
    await shell.text('call', 'mail.send', `--input=@${join(folder, 'input.json')}`, '--countdown', '200');
    const jobs = await scheduled();
    expect(jobs.map(({ input }) => input)).toEqual([{ to: 'stdin' }, { to: 'file' }]);
    expect(jobs.map((job) => Date.parse(job.dueAt) - Date.parse(job.enqueuedAt))).toEqual([100_000, 200_000]);
  } finally {
    await rm(folder, { recursive: true });
  }
});

it('result prints what the job gave, as text and as a document', async () => {
  await shell.worker();
  const id = await shell.call('mail.send', { to: 'a' });
  expect(await shell.text('result', id, '--timeout', '20')).toBe('{\n  "sent": "a",\n  "attempt": 1\n}\n');
  expect(await shell.json(...shell.byUrl, 'result', id)).toEqual({
    id,
    state: 'succeeded',
    result: { sent: 'a', attempt: 1 },
    error: null,
  });
});

it('result has an exit code for each other end of a job', async () => {
  await shell.worker();
  const failed = await shell.run(['result', await shell.call('mail.send', { to: 'a', fail: 'refused' }), '--json']);
  expect(failed).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^taktline: job \S+ failed for good: Error: refused \(nothing\)\n$/),
  });
  expect(JSON.parse(failed.stdout)).toMatchObject({
    state: 'failed',
    result: null,
    error: { type: 'Error', code: 'MAIL_REFUSED', message: 'refused (nothing)' },
  });
  const dropped = await shell.run(['result', await shell.call('mail.drop'), '--json']);
  expect(dropped.code).toBe(1);
  expect(JSON.parse(dropped.stdout)).toMatchObject({ state: 'cancelled', error: { code: 'JOB_CANCELLED' } });
  expect(await shell.run(['result', 'nobody'])).toEqual({
    code: 4,
    stdout: '',
    stderr: 'taktline: no job nobody is known: it ended and its result has expired, or it never was\n',
  });
  const slow = await shell.call('mail.slow', { ms: 60_000 });
  expect(await shell.run(['result', slow, '--timeout=100ms'])).toEqual({
    code: 5,
    stdout: '',
    stderr: `taktline: job ${slow} has not ended in time; it goes on\n`,
  });
});
