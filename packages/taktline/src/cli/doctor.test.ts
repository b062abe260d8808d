/** `taktline doctor`: what it finds, and what it says to do. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Shell } from '../../test/support/cli.ts';

let shell: Shell;

beforeEach(async () => {
  shell = await Shell.open();
});

afterEach(() => shell.close());

interface Report {
  readonly ok: boolean;
  readonly findings: readonly { readonly check: string; readonly ok: boolean; readonly advice: string | null }[];
}

it('finds nothing where nothing is wrong', async () => {
  const { code, stdout, stderr } = await shell.run(['doctor', '--json']);
  const { ok, findings } = JSON.parse(stdout) as Report;
  expect(findings.map(({ check }) => check)).toEqual(
    expect.arrayContaining(['broker', 'version', 'schema', 'clock', 'durability', 'primary', 'consumers', 'workers']),
  );
  // These two belong to the server that all tests share.
  const ours = findings.filter(({ check }) => !['connections', 'transactions'].includes(check));
  expect(ours.filter((finding) => !finding.ok)).toEqual([]);
  expect(ours.every(({ advice }) => advice === null)).toBe(true);
  expect({ code, stderr }).toEqual({ code: ok ? 0 : 1, stderr: '' });
});

it('finds jobs that no worker takes', async () => {
  await shell.call('mail.send', { to: 'a' });
  const { code, stdout } = await shell.run(['doctor']);
  expect(code).toBe(1);
  expect(stdout).toMatch(
    /^NOT OK {2}consumers +mail.normal: 1 waiting, and no worker takes them\n +-> start a worker: .* -Q mail.normal$/m,
  );
  expect(stdout).toMatch(/^ok +broker +postgres:/m);
});

it('finds a worker that was lost', async () => {
  await shell.json('status');
  await shell.space.query(`insert into $ns.workers (name, info, lease_ms, started_at, expires_at) values ('gone@host', '{}', 1000, 0, 1)`);
  expect(await shell.run(['doctor'])).toMatchObject({
    code: 1,
    stdout: expect.stringMatching(/^NOT OK {2}workers +0 alive, lost: gone@host\n +-> /m),
  });
});

it('tells a missing schema and a broker that is down by document, line and exit code 3', async () => {
  const absent = await shell.run(['--broker', shell.space.url, '--namespace', 'no_such_namespace', 'doctor', '--json']);
  expect(absent).toMatchObject({ code: 3, stderr: expect.stringMatching(/^taktline: [^\n]*has no schema no_such_namespace[^\n]*\n$/) });
  expect(JSON.parse(absent.stdout)).toMatchObject({
    ok: false,
    findings: [{ check: 'schema', ok: false, advice: expect.stringContaining('--namespace') }],
  });
  const down = await shell.run(['doctor'], { env: { BROKER_URL: 'postgres://u@127.0.0.1:1/none' } });
  expect(down).toMatchObject({ code: 3, stderr: expect.stringMatching(/^taktline: the broker is not available: [^\n]*\n$/) });
  expect(down.stdout).toMatch(/^NOT OK {2}broker .*\n +-> start the server/);
});

it("looks at the application's database where DATABASE_URL names one, and shows no password", async () => {
  const database = async (DATABASE_URL: string) => {
    const { code, stdout } = await shell.run(['doctor'], { env: { DATABASE_URL } });
    expect(stdout).not.toContain('hunter2');
    return { code, line: stdout.split('\n').find((line) => /^(ok|NOT OK) +database /.test(line)) };
  };
  expect((await database(shell.space.url)).line).toMatch(/^ok +database +DATABASE_URL, .*: Postgres \d+.* answered in \d+ ms$/);
  expect(await database('postgres://ann:hunter2@127.0.0.1:1/app')).toMatchObject({
    code: 1,
    line: expect.stringMatching(/^NOT OK .*ECONNREFUSED/),
  });
  expect(await database('mysql://ann:hunter2@db/app')).toMatchObject({ code: 1, line: expect.stringMatching(/^NOT OK .*cannot be read/) });
  expect((await database('')).line).toBeUndefined();
});
