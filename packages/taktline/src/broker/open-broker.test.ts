/** Which broker a URL names, how it is shown, and what opening and closing leave behind. */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type TestNamespace, testNamespace } from '../../test/support/namespace.ts';
import { polled } from '../../test/support/polled.ts';
import { checkBrokerUrl, describeUrl, openBroker } from './open-broker.ts';

let space: TestNamespace | undefined;
afterEach(async () => {
  await space?.drop();
  space = undefined;
});

describe('the URL', () => {
  it.each([
    ['postgres://localhost/app', 'postgres'],
    ['postgresql://user:p%40ss@[::1]:5432/app?sslmode=verify-full', 'postgres'],
    ['POSTGRES://localhost/app', 'postgres'],
    ['embedded:.taktline', 'embedded'],
    ['embedded:/var/lib/some where', 'embedded'],
  ])('%s is a %s broker', (url, kind) => {
    expect(checkBrokerUrl(url)).toBe(kind);
  });

  it.each(['redis://[bad', 'redis://:hunter2@host:0', 'rediss://host/notanumber', 'redis-sentinel://a,b', 'redis-cluster://a/1'])(
    '%s is refused in one line',
    (url) => {
      expect(() => checkBrokerUrl(url)).toThrow(
        expect.objectContaining({ code: 'BROKER_URL', message: expect.stringMatching(/^(?!.*hunter2)[^\n]*$/) as string }),
      );
    },
  );

  it.each(['', 'localhost:5432/app', 'amqp://guest:hunter2@host', '/var/run', 'embedded:', 'embedded:  ', 'postgres://[bad', 'http://x'])(
    '%j is refused, and its password is not shown',
    (url) => {
      expect(() => checkBrokerUrl(url)).toThrow(
        expect.objectContaining({ code: 'BROKER_URL', message: expect.not.stringContaining('hunter2') as string }),
      );
    },
  );

  it('is shown without user, password and options', () => {
    expect(describeUrl('postgres://ann:hunter2@db.example.com:5433/app?password=hunter2&sslmode=require')).toBe(
      'postgres://db.example.com:5433/app',
    );
    expect(describeUrl('embedded:.taktline')).toBe('embedded:.taktline');
  });
});

describe('opening', () => {
  const queues = [{ name: 'work', priority: 5 }];
  const options = (more: Partial<Parameters<typeof openBroker>[0]> = {}) => ({
    url: space?.url ?? '',
    namespace: space?.name ?? 'unused',
    queues,
    deadLetterTtlMs: 1e9,
    ...more,
  });
  /** Connections of the namespace's broker, as the server counts them. */
  const connections = async () => {
    const [row] = await (space as TestNamespace).query<{ n: string }>(
      'select count(*) as n from pg_stat_activity where application_name = $1',
      [`taktline ${space?.name}`],
    );
    return Number(row?.n);
  };

  it('makes the schema and the queues, and closing closes every connection', async () => {
    space = await testNamespace();
    const opened = await openBroker(options());
    expect(opened.where).toBe(describeUrl(space.url));
    await Promise.all(Array.from({ length: 5 }, () => opened.broker.ping()));
    expect(await connections()).toBeGreaterThan(0);
    expect((await opened.inspector.queues()).map(({ name, priority }) => ({ name, priority }))).toEqual(queues);
    await opened.close();
    await polled(connections).toBe(0);
  });

  it('with create: false makes nothing, and says what is missing', async () => {
    space = await testNamespace();
    await expect(openBroker(options({ create: false }))).rejects.toMatchObject({
      code: 'BROKER_SCHEMA',
      message: expect.stringContaining(space.name) as string,
    });
    expect(await space.query('select 1 from pg_namespace where nspname = $1', [space.name])).toEqual([]);
    await polled(connections).toBe(0);
  });

  it('with create: false uses what is there', async () => {
    space = await testNamespace();
    await (await openBroker(options())).close();
    const opened = await openBroker(options({ create: false, queues: [] }));
    expect((await opened.inspector.queues()).map(({ name }) => name)).toEqual(['work']);
    await opened.close();
  });

  it('a server that is not there is BROKER_UNAVAILABLE, soon', async () => {
    const probe = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => probe.once('listening', resolve));
    const { port } = probe.address() as { port: number };
    await new Promise((resolve) => probe.close(resolve));
    const started = performance.now();
    await expect(openBroker(options({ url: `postgres://ann:hunter2@127.0.0.1:${port}/app` }))).rejects.toMatchObject({
      code: 'BROKER_UNAVAILABLE',
      message: expect.not.stringContaining('hunter2') as string,
    });
    expect(performance.now() - started).toBeLessThan(5_000);
  });

  it('a database that is not there is named', async () => {
    space = await testNamespace();
    const url = new URL(space.url);
    url.pathname = '/no_such_database';
    await expect(openBroker(options({ url: url.href }))).rejects.toMatchObject({
      code: 'BROKER_URL',
      message: expect.stringContaining('no_such_database') as string,
    });
  });

  it('an embedded broker that nobody has used is not made by looking', async () => {
    const root = await mkdtemp(join(tmpdir(), 'taktline-look-'));
    const folder = join(root, 'none');
    await expect(openBroker(options({ url: `embedded:${folder}`, create: false }))).rejects.toMatchObject({ code: 'BROKER_SCHEMA' });
    expect(existsSync(folder)).toBe(false);
    await rm(root, { recursive: true });
  });
});
