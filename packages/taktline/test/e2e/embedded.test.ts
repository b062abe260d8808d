/** Two worker processes and two clients on one embedded folder at once; the last one out stops the server. */
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Child } from '../support/child.ts';
import { eventually } from '../support/eventually.ts';

let root: string;
const children: Child[] = [];
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'taktline-members-'));
  // Postgres runs as another user when the tests run as root; it has to get through.
  await chmod(root, 0o711);
});
afterEach(async () => {
  await Promise.all(children.splice(0).map((child) => child.end()));
  await rm(root, { recursive: true, force: true });
});

function member(role: 'worker' | 'client', jobs = 0): Child {
  const child = new Child('embedded-member.mjs', { folder: join(root, 'broker'), role, jobs });
  children.push(child);
  return child;
}

/** The postmaster of the folder; undefined when none runs. */
async function postmaster(): Promise<number | undefined> {
  const text = await readFile(join(root, 'broker', 'postgres', 'data', 'postmaster.pid'), 'utf8').catch(() => undefined);
  const pid = Number(text?.split('\n')[0]);
  if (!(pid > 0)) return undefined;
  try {
    process.kill(pid, 0);
    return pid;
  } catch {
    return undefined;
  }
}

interface Result {
  readonly n: number;
  readonly worker: number;
}

it('all of them share one server, every job runs once, and the last one out stops the server', { timeout: 120_000 }, async () => {
  // Nobody has made the folder yet: four processes start its server at once.
  const workers = [member('worker'), member('worker')];
  const clients = [member('client', 400), member('client', 400)];
  const said = await Promise.all(clients.map((client) => client.said('done')));
  const results = said.map(({ results: all }) => all as Result[]);
  for (const all of results) expect(all.map(({ n }) => n)).toEqual(Array.from({ length: 400 }, (_, n) => n));
  await Promise.all(workers.map((worker) => worker.said('started')));
  expect(new Set(results.flat().map(({ worker }) => worker)).size).toBeGreaterThanOrEqual(1);
  for (const { worker } of results.flat()) expect(workers.map(({ process: { pid } }) => pid)).toContain(worker);
  for (const client of clients) expect(await client.exited).toEqual({ code: 0, signal: null });

  const pid = await postmaster();
  expect(pid).toBeDefined();
  workers[0]?.kill('SIGTERM');
  expect(await workers[0]?.exited).toEqual({ code: 0, signal: null });
  expect(await postmaster()).toBe(pid);

  // The one that is left serves another client.
  const late = member('client', 20);
  const { results: served } = (await late.said('done')) as { results: Result[] };
  expect(new Set(served.map(({ worker }) => worker))).toEqual(new Set([workers[1]?.process.pid]));
  await late.exited;

  workers[1]?.kill('SIGTERM');
  expect(await workers[1]?.exited).toEqual({ code: 0, signal: null });
  await eventually(async () => (await postmaster()) === undefined, 'the server has stopped');
});
