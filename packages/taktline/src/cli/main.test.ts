/** What holds for every command: one line and an exit code for each mistake, secrets kept, a terminal that stays sane. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Shell } from '../../test/support/cli.ts';
import { polled } from '../../test/support/polled.ts';
import { exitCodeHelp } from './exit-codes.ts';

let shell: Shell;
let folder: string;

beforeAll(async () => {
  shell = await Shell.open();
  folder = await mkdtemp(join(tmpdir(), 'taktline-cli-'));
  // Makes the schema, for what fails only at the broker.
  await shell.text('status');
});

afterAll(async () => {
  await shell.close();
  await rm(folder, { recursive: true });
});

it.each([
  [['call', 'mail.nope'], 'no task is named "mail.nope"; there are mail.drop, mail.headers, mail.send, mail.slow'],
  [['call', 'constructor'], 'no task is named "constructor"'],
  [['call', 'mail.send', '--input', '{"to":5}'], 'the input of task "mail.send" is not valid: to: '],
  [['call', 'mail.send', '--input', '{"to":"a"'], '--input is not JSON'],
  [['call', 'mail.send', '--input', '{}', '--args', '{}'], '--input and --args are the same'],
  [['call', 'mail.send', '--input', '{"to":"a"}', '--queue', 'nope'], 'queue "nope" is not declared'],
  [['call', 'mail.send', '--input', '{"to":"a"}', '--priority', '11'], 'priority is 11'],
  [['call', 'mail.send', '--input', '{"to":"a"}', '--countdown', 'soon'], "option '--countdown <duration>' argument 'soon' is invalid"],
  [['call', 'mail.send', '--input', '{"to":"a"}', '--countdown', '5', '--eta', '2099-01-01T00:00:00Z'], 'give countdown or eta, not both'],
  [['call', 'mail.headers', '--headers', '["a"]'], '--headers has to be an object'],
  [['call', 'mail.headers', '--headers', '{"a":1}'], 'header "a"'],
  [['call'], "missing required argument 'task'"],
  [['call', 'mail.send', '--nope'], "unknown option '--nope'"],
  [['statu'], "unknown command 'statu' (Did you mean status?)"],
  [['inspect', 'nope'], "unknown command 'nope'"],
  [['status', 'extra'], 'too many arguments'],
  [['inspect', 'scheduled', '--limit', '5000'], 'limit is 5000'],
  [['inspect', 'scheduled', '--queue', 'nope'], 'queue "nope" is not declared'],
  [['worker', '-Q', 'mail.normal,nope'], 'queue "nope" is not declared'],
  [['worker', '-c', 'many'], "argument 'many' is invalid"],
  [['worker', '-c', '0'], 'concurrency is 0'],
  [['worker', '-l', 'loud'], '--loglevel is "loud": expected one of debug, info, warn, error, silent'],
  [['purge', '-f', '-Q', 'mail.normal,nope'], 'no queue is named "nope"'],
  [['purge'], 'this needs --force (-f)'],
  [['dlq', 'redrive', '--all'], 'this needs --force (-f)'],
  [['dlq', 'discard', '--all'], 'this needs --force (-f)'],
  [['dlq', 'discard', '--queue', 'mail.normal'], 'this needs --force (-f)'],
  [['dlq', 'redrive'], 'dlq redrive takes ids, or a filter'],
  [['dlq', 'discard', 'some-id', '--all', '-f'], 'dlq discard takes ids, or a filter'],
  [['dlq', 'list', '--before', '2099-01-01T00:00:00Z', '--older-than', '1d'], 'give --before or --older-than, not both'],
  [['--app', 'x.mjs', '--broker', 'postgres://localhost/x', 'status'], '--broker and --namespace go without --app'],
  [['--broker', 'redis://localhost:0', 'status'], 'the Redis URL'],
  [['--broker', 'postgres://localhost/x', 'worker', '--no-supervise'], 'worker needs the app: --app dist/app.js, or TAKTLINE_APP'],
  [['--app', 'missing.mjs', 'worker'], '--app missing.mjs: there is no such file'],
])('%j is refused in one line, with exit code 2', async (args, message) => {
  const { code, stdout, stderr } = await shell.run(args);
  expect(stderr).toContain(message);
  expect(stderr).toMatch(/^taktline: [^\n]*\S\n$/);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
});

it('an error shows its stack only when debugging', async () => {
  expect((await shell.run(['call', 'mail.nope'], { env: { TAKTLINE_LOG_LEVEL: 'debug' } })).stderr).toMatch(/\n {4}at /);
});

it('help and version are no errors, no command is one', async () => {
  const help = await shell.text('--help');
  for (const command of ['worker', 'call', 'result', 'cancel', 'inspect', 'status', 'dlq', 'purge', 'migrate', 'doctor']) {
    expect(help).toMatch(new RegExp(`^  ${command} `, 'm'));
  }
  expect(help).toContain('Exit codes:');
  expect(await shell.text('dlq', 'redrive', '--help')).toMatch(/--force[^]*Exit codes:/);
  expect(await shell.text('--version')).toMatch(/^\d+\.\d+\.\d+\S*\n$/);
  expect(await shell.run([])).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('Usage: taktline') });
});

it('docs/cli.md has every command, every option and every exit code', async () => {
  const page = await readFile(new URL('../../../../docs/cli.md', import.meta.url), 'utf8');
  const commands = [
    ['worker'],
    ['call'],
    ['result'],
    ['cancel'],
    ['why'],
    ['events'],
    ['history'],
    ['status'],
    ['purge'],
    ['migrate'],
    ['doctor'],
  ];
  const answered = ['active', 'reserved', 'revoked', 'registered', 'active_queues', 'stats', 'report', 'ping'];
  const inspect = [...answered, 'scheduled'].map((what) => ['inspect', what]);
  const pool = ['pool_grow', 'pool_shrink', 'pool_restart', 'autoscale', 'autoscale_off'];
  const control = ['pause', 'resume', 'add_consumer', 'cancel_consumer', ...pool, 'time_limit', 'shutdown'].map((what) => [
    'control',
    what,
  ]);
  const dlq = ['list', 'show', 'redrive', 'discard'].map((what) => ['dlq', what]);
  for (const command of [[], ...commands, ...inspect, ...control, ...dlq]) {
    const help = await shell.text(...command, '--help');
    for (const [, short, long] of help.matchAll(/^ {2}(?:(-\w), )?(--[a-z-]+)/gm)) {
      if (long !== '--help' && long !== '--version')
        expect(page, command.join(' ')).toContain(short === undefined ? long : `${short}, ${long}`);
    }
  }
  for (const [command] of commands) expect(page).toContain(`\n## ${command}\n`);
  for (const command of [...inspect, ...control]) expect(page).toContain(`\`${command.join(' ')}\``);
  for (const command of dlq) expect(page).toContain(`taktline ${command.join(' ')}`);
  for (const [code, meaning] of exitCodeHelp) expect(page).toContain(`| ${code} | ${meaning} |`);
});

it('without the app, inputs are masked whole', async () => {
  await shell.call('mail.send', { to: 'somebody' }, '--countdown', '1h', '--id', 'masked');
  // A URL that is typed beats the app that the environment names.
  const { jobs } = (await shell.json(...shell.byUrl, 'inspect', 'scheduled')) as { readonly jobs: readonly { readonly id: string }[] };
  expect(jobs.find(({ id }) => id === 'masked')).toMatchObject({ task: 'mail.send', input: '[masked]' });
  expect(await shell.text(...shell.byUrl, 'inspect', 'scheduled')).not.toContain('somebody');
});

it('without an app, what is not there is not made', async () => {
  const namespace = `${shell.space.name}_x`;
  expect(await shell.run(['--namespace', namespace, 'status'])).toEqual({
    code: 3,
    stdout: '',
    stderr: `taktline: the database has no schema ${namespace}: no app has used that namespace here yet\n`,
  });
  expect(await shell.space.query('select 1 from pg_namespace where nspname = $1', [namespace])).toEqual([]);

  const cwd = await mkdtemp(join(folder, 'empty-'));
  const nothing = { BROKER_URL: undefined, TAKTLINE_APP: undefined };
  expect(await shell.run(['status'], { cwd, env: nothing })).toMatchObject({
    code: 3,
    stdout: '',
    stderr: expect.stringContaining('there is no embedded broker in'),
  });
  expect(await shell.run(['status'], { cwd, env: { ...nothing, NODE_ENV: 'production' } })).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('no broker is set'),
  });
  expect(await readdir(cwd)).toEqual([]);
});

it('a broker that is down is told in one line by every command, with exit code 3', async () => {
  const env = { BROKER_URL: 'postgres://user:hunter22@127.0.0.1:1/none' };
  for (const args of [
    ['status'],
    ['call', 'mail.headers'],
    ['result', 'x'],
    ['inspect', 'active'],
    ['dlq', 'list'],
    ['purge', '-f'],
    ['cancel', 'x'],
    ['worker'],
  ]) {
    const { code, stdout, stderr } = await shell.run(args, { env });
    expect({ args, code, stdout }).toEqual({ args, code: 3, stdout: '' });
    expect(stderr).toMatch(/^taktline: the broker is not available: [^\n]*ECONNREFUSED[^\n]*\n$/);
    expect(stderr).not.toContain('hunter22');
  }
  const none = await shell.run(['status'], { env: { BROKER_URL: `${shell.space.url}_no_such_database` } });
  expect(none).toMatchObject({ code: 3, stdout: '', stderr: expect.stringMatching(/^taktline: [^\n]*does not exist[^\n]*\n$/) });
});

it('a server that takes connections and never answers is given up within seconds', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const { port } = server.address() as { readonly port: number };
    const started = performance.now();
    const { code, stderr } = await shell.run(['status'], { env: { BROKER_URL: `postgres://u@127.0.0.1:${port}/x` } });
    expect(code).toBe(3);
    expect(stderr).toMatch(/^taktline: the broker is not available: [^\n]*timeout[^\n]*\n$/);
    // 5 s for the connection; the rest is the start of a process on a busy machine.
    expect(performance.now() - started).toBeLessThan(10_000);
  } finally {
    server.close();
  }
});

it('Ctrl-C ends a command that waits, with 130', async () => {
  const waiting = shell.start(['result', await shell.call('mail.send', { to: 'a' })]);
  // It has found the job and asks for its end: the second statement of its connection.
  const asks = () =>
    shell.space.query(`select 1 from pg_stat_activity where application_name = $1 and query like '%.ended_jobs(%'`, [
      `taktline ${shell.space.name}`,
    ]);
  await polled(asks).not.toEqual([]);
  waiting.process.kill('SIGINT');
  expect(await waiting.ended).toEqual({ code: 130, stdout: '', stderr: '' });
});

it('a reader that leaves early is no failure', async () => {
  const cli = shell.start(['status', '--json']);
  cli.process.stdout?.destroy();
  expect(await cli.ended).toEqual({ code: 0, stdout: '', stderr: '' });
});

it('what the app leaves open does not keep a command alive, and an app that never comes is told', async () => {
  const open = join(folder, 'open.mjs');
  await writeFile(open, `export { app } from ${JSON.stringify(shell.env['TAKTLINE_APP'])};\nsetInterval(() => {}, 1000);\n`);
  await shell.json('--app', open, 'status');
  const never = join(folder, 'never.mjs');
  await writeFile(never, 'export const app = new Promise(() => {});\n');
  expect(await shell.run(['--app', never, 'status'])).toMatchObject({
    code: 2,
    stdout: '',
    stderr: expect.stringMatching(/^taktline: nothing is left to wait for[^\n]*\n$/),
  });
});

it('what a schema marks as sensitive is shown by no command', async () => {
  const secret = 'hunter-two-and-twenty';
  const seen: string[] = [];
  const run = async (...args: readonly string[]): Promise<void> => {
    const { stdout, stderr } = await shell.run(args);
    seen.push(stdout + stderr);
  };
  await run('call', 'mail.send', '--input', JSON.stringify({ to: 5, secret }));
  await run('call', 'mail.send', '--input', JSON.stringify({ to: 'a', secret: [secret] }));
  await run('call', 'mail.send', '--input', `{"to":"a","secret":${secret}}`);
  const worker = await shell.worker('--loglevel=debug');
  await shell.call('mail.send', { to: 'a', secret }, '--countdown', '1h');
  await shell.call('mail.slow', { ms: 60_000, secret });
  await worker.said(/slow begun/);
  const dead = await shell.deadLetter({ secret });
  for (const args of [
    ['inspect', 'active'],
    ['inspect', 'scheduled'],
    ['dlq', 'list'],
    ['dlq', 'show', dead],
    ['result', dead],
    ['status'],
    ['doctor'],
  ]) {
    await run(...args);
    await run(...args, '--json');
  }
  await run(...shell.byUrl, 'dlq', 'show', dead);
  expect(worker.stderr).toContain('sends with [masked]');
  // It is there to be found: the broker has it.
  expect(await shell.space.query('select id from $ns.dead where envelope like $1', [`%${secret}%`])).toEqual([{ id: dead }]);
  expect(seen.join('\n').match(/\[masked\]/g)?.length).toBeGreaterThan(10);
  expect([...seen, worker.stderr].filter((text) => text.includes(secret))).toEqual([]);
});

it('text of others cannot steer the terminal', async () => {
  const nasty = 'a\u001b[2Jb\u009b31m\u202ec';
  await shell.worker();
  const failed = await shell.call('mail.send', { to: nasty, fail: nasty }, '--headers', JSON.stringify({ tenant: nasty }));
  const succeeded = await shell.call('mail.send', { to: nasty });
  await shell.call('mail.send', { to: nasty }, '--countdown', '1h');
  const outputs = [];
  for (const args of [
    ['result', failed],
    ['result', succeeded],
    ['dlq', 'list'],
    ['dlq', 'show', failed],
    ['inspect', 'scheduled'],
  ]) {
    outputs.push(await shell.run(args), await shell.run([...args, '--json']));
  }
  for (const { stdout, stderr } of outputs) expect(stdout + stderr).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
  expect(await shell.json('result', succeeded)).toMatchObject({ result: { sent: nasty } });
});
