/** Commands, scripts and channels on one Redis that is in order. What happens when it is not stands in test/faults/redis. */
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { polled } from '../../../test/support/polled.ts';
import { describeOnRedis } from '../../../test/support/redis/needs-redis.ts';
import { Connection, script } from './connection.ts';

const echo = script('echo', 'return {KEYS[1], ARGV[1]}');
const size = script('size', 'return #ARGV[1]');
const append = script('append', "return redis.call('rpush', KEYS[1], ARGV[1])");

describeOnRedis('a connection to Redis', (url) => {
  let namespace: string;
  let connection: Connection;
  const open: Connection[] = [];
  const make = (role: string) => {
    const made = new Connection({ url, namespace, role });
    open.push(made);
    return made;
  };
  const key = (name: string) => `${namespace}:{q}:${name}`;
  /** A script that no server has seen. */
  const unseen = (source: string) => script('unseen', `${source} -- ${randomBytes(8).toString('hex')}`);

  beforeEach(() => {
    namespace = `t_${randomBytes(6).toString('hex')}`;
    connection = make('client');
  });

  afterEach(async () => {
    const keys = (await make('cleaner').command('', ['KEYS', `${namespace}:*`])) as string[];
    if (keys.length > 0) await open.at(-1)?.command('', ['DEL', ...keys]);
    await Promise.all(open.splice(0).map((one) => one.close()));
  });

  it('has a name of its own', async () => {
    expect(await connection.command('', ['CLIENT', 'GETNAME'])).toBe(`taktline:${namespace}:client`);
  });

  it('runs a script that the server knows by its digest, and one that it does not know by its source', async () => {
    const fresh = unseen('return {KEYS[1], ARGV[1]}');
    expect(await connection.command('', ['SCRIPT', 'EXISTS', fresh.sha])).toEqual([0]);
    expect(await connection.run(fresh, 'k', ['k'], ['välue €'])).toEqual(['k', 'välue €']);
    expect(await connection.command('', ['SCRIPT', 'EXISTS', fresh.sha])).toEqual([1]);
    expect(await connection.run(fresh, 'k', ['k'], [Buffer.from('bytes')])).toEqual(['k', 'bytes']);
  });

  it('runs what is called in one tick in its order', async () => {
    await connection.run(append, key('list'), [key('list')], ['first']);
    const lengths = await Promise.all(
      Array.from({ length: 50 }, (_, n) => connection.run(append, key('list'), [key('list')], [String(n)])),
    );
    expect(lengths).toEqual(Array.from({ length: 50 }, (_, n) => n + 2));
    expect(await connection.command(key('list'), ['LRANGE', key('list'), '1', '-1'])).toEqual(
      Array.from({ length: 50 }, (_, n) => String(n)),
    );
  });

  it('all of one tick are run though the server knows none of them', async () => {
    const fresh = unseen(append.source);
    await Promise.all(Array.from({ length: 20 }, (_, n) => connection.run(fresh, key('list'), [key('list')], [String(n)])));
    expect(await connection.command('', ['LRANGE', key('list'), '0', '-1'])).toEqual(Array.from({ length: 20 }, (_, n) => String(n)));
  });

  it('carries long texts and bytes of every kind unchanged', async () => {
    const wide = '€😀'.repeat(500_000);
    expect(await connection.run(size, '', [], [wide])).toBe(Buffer.byteLength(wide));
    expect(await connection.run(echo, 'k', ['k'], [wide])).toEqual(['k', wide]);
    const bytes = randomBytes(3 * 1024 * 1024);
    expect(await connection.run(size, '', [], [bytes])).toBe(bytes.length);
  });

  it("an error of a script is told in the server's words", async () => {
    await expect(connection.run(unseen("return redis.error_reply('ERR not today')"), '', [], [])).rejects.toMatchObject({
      code: 'BROKER_UNAVAILABLE',
      message: expect.stringContaining('not today') as string,
    });
    expect(await connection.command('', ['PING'])).toBe('PONG');
  });

  it('says what the server is', async () => {
    const [facts] = await connection.facts();
    expect(facts).toMatchObject({
      product: expect.stringMatching(/^(redis|valkey)$/) as string,
      version: expect.stringMatching(/^\d+\.\d+\.\d+/) as string,
      role: 'master',
      cluster: false,
      maxmemoryPolicy: expect.any(String) as string,
      appendonly: expect.any(Boolean) as boolean,
    });
    const [seconds] = (await connection.command('', ['TIME'])) as [string];
    expect(Math.abs((facts?.time ?? 0) - Number(seconds) * 1_000)).toBeLessThan(10_000);
  });

  it('hears what is published, until it is told to stop', async () => {
    const heard: string[] = [];
    let missed = 0;
    const stop = await connection.subscribe({
      channels: [key('a'), key('b')],
      message: (channel, payload) => void heard.push(`${channel} ${payload}`),
      missed: () => void missed++,
    });
    expect(missed).toBe(1);
    expect(await connection.command('', ['PUBLISH', key('b'), 'höra €'])).toBe(1);
    await polled(() => heard).toEqual([`${key('b')} höra €`]);
    const names = async () =>
      ((await connection.command('', ['CLIENT', 'LIST', 'TYPE', 'pubsub'])) as string).includes(`taktline:${namespace}:subscriber`);
    expect(await names()).toBe(true);
    await stop();
    await polled(names).toBe(false);
  });

  it('closing lets what was sent be answered, and refuses what comes later', async () => {
    // The first one connects.
    await connection.command('', ['PING']);
    const slow = connection.run(unseen('for i = 1, 20000000 do end return "done"'), '', [], []);
    const closing = connection.close();
    await expect(connection.command('', ['PING'])).rejects.toMatchObject({ code: 'BROKER_CLOSED' });
    expect(await slow).toBe('done');
    await closing;
    const client = make('other');
    await polled(async () => ((await client.command('', ['CLIENT', 'LIST'])) as string).includes(`taktline:${namespace}:client`)).toBe(
      false,
    );
    await connection.close();
  });

  it('one that was never used is closed at once, and one that still connects when it has answered', async () => {
    await connection.close();
    await expect(connection.subscribe({ channels: ['x'], message: () => undefined, missed: () => undefined })).rejects.toMatchObject({
      code: 'BROKER_CLOSED',
    });
    const connecting = make('second');
    const early = connecting.command('', ['PING']);
    await connecting.close();
    expect(await early).toBe('PONG');
  });
});
