/** `taktline worker` as a process: its banner, its logs, and its two ways to stop. */
import { hostname } from 'node:os';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Shell } from '../../test/support/cli.ts';

let shell: Shell;

beforeEach(async () => {
  shell = await Shell.open();
});

afterEach(() => shell.close());

async function stateOf(id: string): Promise<{ readonly waiting: number; readonly claims: number; readonly workers: number }> {
  const [row] = await shell.space.query<{ waiting: string; claims: string; workers: string }>(
    `select (select count(*) from $ns.ready where id = $1) as waiting, (select count(*) from $ns.claims) as claims, (select count(*) from $ns.workers) as workers`,
    [id],
  );
  return { waiting: Number(row?.waiting), claims: Number(row?.claims), workers: Number(row?.workers) };
}

it("takes Celery's names and flags, and says what it is on standard error, without the password", async () => {
  const app = shell.env['TAKTLINE_APP'] ?? '';
  const cli = shell.start(
    ['--app', app, 'worker', '--queues=mail.urgent,mail.normal', '--concurrency=4', '--hostname=normal_worker@%h', '--loglevel=INFO'],
    {
      env: { TAKTLINE_APP: undefined },
    },
  );
  await cli.said(/^stop /m);
  expect(cli.stderr).toMatch(new RegExp(`^worker +normal_worker@${hostname()}$`, 'm'));
  expect(cli.stderr).toMatch(/^queues +mail.normal \(5\), mail.urgent \(9\)$/m);
  expect(cli.stderr).toMatch(/^concurrency +4$/m);
  expect(cli.stderr).toMatch(/^tasks +mail.drop, mail.headers, mail.send, mail.slow$/m);
  const { host, pathname, password } = new URL(shell.space.url);
  expect(cli.stderr).toContain(`postgres://${host}${pathname}\n`);
  expect(password).not.toBe('');
  expect(cli.stderr).not.toContain(password);
  const lines = cli.stderr.split('\n').filter((line) => line.startsWith('{'));
  expect(lines.map((line) => JSON.parse(line) as unknown)).toContainEqual(
    expect.objectContaining({ level: 'info', message: 'worker started' }),
  );
  cli.process.kill('SIGINT');
  expect(await cli.ended).toMatchObject({ code: 0, stdout: '' });
});

it.each([
  ['-l', 'WARNING', false],
  ['--loglevel', 'debug', true],
])('%s %s decides what is logged: info %s', async (flag, level, shown) => {
  const cli = shell.start(['worker', flag, level]);
  await cli.said(/^stop /m);
  const id = await shell.call('mail.send', { to: 'a' });
  expect((await shell.run(['result', id])).code).toBe(0);
  expect(cli.stderr.includes('sends with')).toBe(shown);
});

it('takes jobs of its own queues only', async () => {
  const normal = await shell.call('mail.send', { to: 'a' });
  const cli = shell.start(['worker', '-Q', 'mail.urgent']);
  await cli.said(/^stop /m);
  const urgent = await shell.call('mail.headers');
  expect((await shell.run(['result', urgent])).code).toBe(0);
  expect(await stateOf(normal)).toMatchObject({ waiting: 1 });
});

it.each(['SIGTERM', 'SIGINT'] as const)('%s lets what runs come to its end, and exits 0', async (signal) => {
  const id = await shell.call('mail.slow', { ms: 1_500 });
  const waiting = await shell.call('mail.slow', { ms: 1 });
  const cli = shell.start(['worker', '--concurrency=1']);
  await cli.said(/slow begun/);
  cli.process.kill(signal);
  await cli.said(/^stopping: 1 job runs/m);
  expect(await cli.ended).toMatchObject({ code: 0, stdout: '' });
  const [ended] = await shell.space.query('select result from $ended where id = $1', [id]);
  expect(ended).toEqual({ result: '"slept"' });
  expect(await stateOf(waiting)).toEqual({ waiting: 1, claims: 0, workers: 0 });
});

it('what does not end within --grace is handed back, and runs again elsewhere', async () => {
  const cli = shell.start(['worker', '--grace', '500ms']);
  await cli.said(/^stop +SIGTERM or Ctrl-C waits up to 500 ms/m);
  const id = await shell.call('mail.slow', { ms: 60_000, stubborn: true });
  await cli.said(/slow begun/);
  const asked = performance.now();
  cli.process.kill('SIGTERM');
  expect((await cli.ended).code).toBe(0);
  // The task's timer has most of its minute left: the process does not wait for it.
  expect(performance.now() - asked).toBeLessThan(10_000);
  expect(await stateOf(id)).toEqual({ waiting: 1, claims: 0, workers: 0 });
});

it('a second SIGTERM stops at once and loses nothing', async () => {
  const cli = shell.start(['worker', '--grace=60s']);
  await cli.said(/^stop /m);
  const id = await shell.call('mail.slow', { ms: 60_000, stubborn: true });
  await cli.said(/slow begun/);
  cli.process.kill('SIGTERM');
  await cli.said(/^stopping: 1 job runs; a second signal stops at once/m);
  const asked = performance.now();
  cli.process.kill('SIGTERM');
  expect((await cli.ended).code).toBe(0);
  expect(performance.now() - asked).toBeLessThan(5_000);
  expect(await stateOf(id)).toEqual({ waiting: 1, claims: 0, workers: 0 });
  const [job] = await shell.space.query<{ past: string }>('select past from $ns.ready where id = $1', [id]);
  expect(JSON.parse(job?.past ?? '')).toMatchObject({ failures: 0, losses: 0, history: [{ outcome: 'handed-back' }] });
});
