/** `taktline schedule` and `taktline beat` as processes, with the probes of beat and worker. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type Cli, Shell } from '../../test/support/cli.ts';
import { eventually } from '../../test/support/eventually.ts';

let shell: Shell;

beforeEach(async () => {
  shell = await Shell.open();
});

afterEach(() => shell.close());

interface View {
  readonly name: string;
  readonly [field: string]: unknown;
}

const list = async () => ((await shell.json('schedule', 'list')) as { readonly schedules: readonly View[] }).schedules;
const add = (name: string, ...options: readonly string[]) =>
  shell.json('schedule', 'add', name, '--task', 'mail.send', '--input', '{"to":"a","secret":"hunter2"}', ...options);

async function probed(cli: Cli): Promise<string> {
  await cli.said(/^health +\S+$/m);
  return /^health +(\S+)$/m.exec(cli.stderr)?.[1] ?? '';
}

it('adds, lists, shows, pauses, resumes, runs and removes', async () => {
  expect(await shell.text('schedule', 'list')).toBe('no schedules\n');
  expect(
    await add('nightly', '--cron', '30 2 * * *', '--timezone', 'Europe/Berlin', '--overlap', 'skip', '--catch-up', 'all:3'),
  ).toMatchObject({
    name: 'nightly',
    task: 'mail.send',
    cron: '30 2 * * *',
    timeZone: 'Europe/Berlin',
    overlap: 'skip',
    catchUp: 'all, at most 3',
    source: 'person',
  });
  await add('often', '--every', '15m', '--priority', '9', '--expires', '1h', '--queue', 'mail.urgent');
  await add('once', '--in', '1h');
  expect((await list()).map(({ name }) => name)).toEqual(['nightly', 'often', 'once']);
  const table = await shell.text('schedule', 'list');
  expect(table).toMatch(/^nightly +mail.send +30 2 \* \* \* Europe\/Berlin +in /m);
  expect(table).toMatch(/^often +mail.send +every 15 min +in \d+/m);
  const shown = await shell.text('schedule', 'show', 'often');
  expect(shown).toMatch(/^queue +mail.urgent \(priority 9\)$/m);
  expect(table + shown).not.toContain('hunter2');

  expect(await shell.text('schedule', 'pause', 'often', 'once')).toBe('often: paused\nonce: paused\n');
  expect(await shell.text('schedule', 'list')).toMatch(/^often .* paused /m);
  expect(await shell.json('schedule', 'resume', 'once')).toEqual({ schedules: ['once'], done: 'resume' });
  const id = (await shell.text('schedule', 'run', 'often')).trim();
  expect(await shell.json('why', id)).toMatchObject({ id });
  await shell.text('schedule', 'remove', 'often', 'once');
  expect((await list()).map(({ name }) => name)).toEqual(['nightly']);
  expect(await shell.run(['schedule', 'run', 'often'])).toMatchObject({ code: 4, stderr: 'taktline: no schedule is named "often"\n' });
});

it.each([
  [['schedule', 'add', 'x', '--task', 'mail.send'], 'give one of --cron, --every, --at and --in'],
  [['schedule', 'add', 'x', '--task', 'mail.send', '--every', '1h', '--in', '1h'], 'give one of --cron, --every, --at and --in'],
  [['schedule', 'add', 'x', '--task', 'mail.send', '--input', '{}', '--every', '1h'], 'the input of task "mail.send" is not valid: to: '],
  [['schedule', 'add', 'x', '--task', 'mail.headers', '--cron', '* * * *'], 'cron is "* * * *": expected five or six fields'],
  [['schedule', 'add', 'x', '--task', 'mail.headers', '--cron', '* * * * *', '--timezone', 'Mars'], 'timeZone is "Mars"'],
  [['schedule', 'add', 'x', '--task', 'mail.headers', '--every', '10ms'], 'every is 10 ms: expected 1 s at least'],
  [['schedule', 'add', 'x', '--task', 'mail.headers', '--every', '1h', '--catch-up', 'all'], 'Expected skip, latest, or all:<most>'],
  [['schedule', 'add', 'x y', '--task', 'mail.headers', '--every', '1h'], 'the name of a schedule is "x y"'],
  [['schedule', 'add', 'x', '--every', '1h'], "required option '--task <name>' not specified"],
  [['beat', '--lease', '1h'], 'lease is 3600000 ms: expected 2 s to 20 s'],
  [['beat', '--health-port', '99999'], 'Expected a port'],
])('%j is refused in one line, with exit code 2', async (args, message) => {
  const { code, stdout, stderr } = await shell.run(args);
  expect(stderr).toContain(message);
  expect(stderr).toMatch(/^taktline: [^\n]*\S\n$/);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
});

it('a beat runs what was added, says how it is, and ends by SIGTERM with 0', async () => {
  const beat = shell.start(['beat', '--health-port', '0', '--lease', '2s']);
  const url = await probed(beat);
  expect(beat.stderr).toMatch(/^schedules +none yet/m);
  await add('often', '--every', '1s');
  await eventually(async () => Number((await list())[0]?.['runs']) >= 2, 'two ticks', { everyMs: 200 });
  const response = await fetch(url);
  expect([response.status, await response.json()]).toMatchObject([200, { status: 'live', beat: { live: true } }]);
  beat.process.kill('SIGTERM');
  expect(await beat.ended).toMatchObject({ code: 0, stdout: '' });
});

it('a worker can be the beat too, and tells of both under its supervisor', async () => {
  await add('often', '--every', '1s');
  const worker = await shell.worker('--beat', '--health-port', '0');
  const url = await probed(worker);
  await eventually(async () => Number((await list())[0]?.['runs']) >= 1, 'a tick', { everyMs: 200 });
  const answer = await eventually(async () => {
    const response = await fetch(url);
    return response.status === 200 && ((await response.json()) as object);
  }, 'it is live');
  expect(answer).toEqual({
    status: 'live',
    worker: { live: true, stalledMs: expect.any(Number) as number },
    beat: { live: true, stalledMs: expect.any(Number) as number },
  });
  worker.process.kill('SIGTERM');
  expect((await worker.ended).code).toBe(0);
});

it('a worker whose loop is blocked is not live, nor one whose process has died, until another one works', async () => {
  const worker = await shell.worker('--health-port', '0');
  const url = await probed(worker);
  const status = async () => (await fetch(url)).status;
  await eventually(async () => (await status()) === 200, 'it is live');
  const pid = Number(/"pid":(\d+)/.exec(JSON.stringify(await shell.json('inspect', 'stats')))?.[1]);
  expect(pid).not.toBe(worker.process.pid);
  process.kill(pid, 'SIGSTOP');
  expect(await status()).toBe(503);
  process.kill(pid, 'SIGKILL');
  await worker.said(/another one is started/);
  expect(await status()).toBe(503);
  await eventually(async () => (await status()) === 200, 'another one works');
  worker.process.kill('SIGTERM');
  expect((await worker.ended).code).toBe(0);
});

it('a port that is taken is refused before anything runs', async () => {
  const first = await shell.worker('--health-port', '0');
  const { port } = new URL(await probed(first));
  expect(await shell.run(['worker', '--health-port', port])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('EADDRINUSE') as string,
  });
});
