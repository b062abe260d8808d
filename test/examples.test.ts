/** Every example runs to its end and prints what it should; the one in the README is the file, letter by letter. */
import { readdir, readFile } from 'node:fs/promises';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { type TestNamespace, testNamespace } from '../packages/taktline/test/support/namespace.ts';

const folder = new URL('../examples/', import.meta.url);
const printed: Record<string, readonly unknown[]> = {
  'quickstart.ts': ['example.com'],
  'outcomes.ts': [{ shipped: 1, executions: 2 }, 'JOB_CANCELLED', 'JOB_FAILED', ['the order has no address']],
  'with-a-transaction.ts': ['there is no such order', { credits: 1, attempt: 2 }],
  'one-job-for-each-id.ts': [true, 'ID_CONFLICT', { charged: 10_000 }],
};

let space: TestNamespace;

beforeEach(async () => {
  space = await testNamespace();
  // Examples name no broker: like anybody's program they take it from the environment.
  await space.query(`create database ${space.name}`);
  const url = new URL(space.url);
  url.pathname = `/${space.name}`;
  vi.stubEnv('BROKER_URL', url.href);
  vi.stubEnv('DATABASE_URL', url.href);
  vi.stubEnv('TAKTLINE_LOG_LEVEL', 'silent');
});

afterEach(async () => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  await space.query(`drop database ${space.name} with (force)`);
  await space.drop();
});

it('has a line here for every example', async () => {
  expect((await readdir(folder)).toSorted()).toEqual(Object.keys(printed).toSorted());
});

it.for(Object.keys(printed))('%s runs', async (name) => {
  const said = vi.spyOn(console, 'log').mockImplementation(() => undefined);
  await import(new URL(name, folder).href);
  expect(said.mock.calls.map(([first]) => first as unknown)).toEqual(printed[name]);
});

it('the README shows the quickstart as it is', async () => {
  const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8');
  expect(readme).toContain(`\`\`\`ts\n${await readFile(new URL('quickstart.ts', folder), 'utf8')}\`\`\``);
});
