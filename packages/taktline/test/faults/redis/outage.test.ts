/** A Redis that is killed, frozen, flushed, busy, or behind a bad network: what was lost is said, and work goes on soon after. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { Connection, script } from '../../../src/broker/redis/connection.ts';
import { eventually } from '../../support/eventually.ts';
import { describeWithRedisServers } from '../../support/redis/needs-redis.ts';
import { OwnRedis, type OwnRedisOptions } from '../../support/redis/own-redis.ts';
import { TcpProxy } from '../../support/tcp-proxy.ts';

const count = script('count', "return redis.call('incr', KEYS[1])");
/** In the words of DESIGN.md, promise 6. */
const againWithinMs = 5_000;

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).toReversed()) await clean();
});

async function server(options?: OwnRedisOptions): Promise<OwnRedis> {
  const made = await OwnRedis.make(options);
  cleanups.push(() => made.remove());
  return made;
}

function connect(url: string, timeoutMs = 10_000): Connection {
  const connection = new Connection({ url, namespace: 'faults', role: 'client', timeoutMs });
  cleanups.push(() => connection.close(100));
  return connection;
}

const run = (connection: Connection) => connection.run(count, 'n', ['n'], []);
const unavailable = expect.objectContaining({ code: 'BROKER_UNAVAILABLE' });

/** Until it works. Gives the milliseconds that it took. */
async function worksAgain(connection: Connection): Promise<number> {
  const started = performance.now();
  await eventually(() => run(connection).then(Boolean, () => false), 'commands are answered again');
  return performance.now() - started;
}

function listen(connection: Connection) {
  const heard: string[] = [];
  const told = { missed: 0, failed: 0 };
  const subscribed = connection.subscribe({
    channels: ['news'],
    message: (_, payload) => void heard.push(payload),
    missed: () => void told.missed++,
    failed: () => void told.failed++,
  });
  return { heard, told, subscribed };
}

describeWithRedisServers('a Redis that', () => {
  it('is killed and started again is used again soon, and its subscriber hears again and says that it missed something', async () => {
    const redis = await server({ config: ['appendonly yes', 'appendfsync always'] });
    const connection = connect(redis.url());
    const { heard, told, subscribed } = listen(connection);
    await subscribed;
    expect(await run(connection)).toBe(1);
    await redis.crash();
    await expect(run(connection)).rejects.toEqual(unavailable);
    // Long enough for the pauses between tries to have grown.
    await eventually(async () => told.failed >= 5, 'tries fail');
    await redis.start();
    expect(await worksAgain(connection)).toBeLessThan(againWithinMs);
    await eventually(async () => told.missed === 2, 'the subscriber is back');
    expect(await run(connection)).toBe(3);
    await connection.command('', ['PUBLISH', 'news', 'back']);
    await eventually(async () => heard.includes('back'), 'it hears');
  });

  it('is frozen is found out by a command within its time, and by an idle connection within twice', async () => {
    const redis = await server();
    const connection = connect(redis.url(), 400);
    const { told, subscribed } = listen(connection);
    await subscribed;
    await run(connection);
    const proof = performance.now();
    redis.freeze();
    await expect(run(connection)).rejects.toEqual(unavailable);
    expect(performance.now() - proof).toBeLessThan(800);
    // The subscriber asks for nothing; that it finds out shows in its first failed try to connect again.
    await eventually(async () => told.failed > 0, 'the subscriber finds out');
    expect(performance.now() - proof).toBeLessThan(2 * 400 + 400 + 200);
    redis.thaw();
    expect(await worksAgain(connection)).toBeLessThan(againWithinMs);
    await eventually(async () => told.missed === 2, 'the subscriber is back');
  });

  it('loses its scripts under load answers every one of them', async () => {
    const redis = await server();
    const connection = connect(redis.url());
    let over = false;
    let answered = 0;
    const load = Array.from({ length: 10 }, async () => {
      while (!over) {
        await run(connection);
        answered += 1;
      }
    });
    for (let flush = 0; flush < 20; flush++) {
      const before = answered;
      await redis.ask('SCRIPT', 'FLUSH');
      await eventually(async () => answered > before + 20, 'scripts run');
    }
    over = true;
    await Promise.all(load);
    expect(await redis.ask('GET', 'n')).toBe(String(answered));
  });

  it('is busy with a script says so, and is used again when it is done', async () => {
    const redis = await server({ config: ['busy-reply-threshold 100'] });
    const connection = connect(redis.url());
    const other = connect(redis.url());
    await Promise.all([run(connection), run(other)]);
    const endless = other.run(script('endless', 'while true do end'), '', [], []).catch((error: unknown) => error);
    const said = await eventually(
      () =>
        run(connection).then(
          () => false as const,
          (error: { code: string; message: string }) => error,
        ),
      'it is busy',
    );
    expect(said).toMatchObject({ code: 'BROKER_UNAVAILABLE', message: expect.stringContaining('BUSY') });
    await redis.ask('SCRIPT', 'KILL');
    expect(await worksAgain(connection)).toBeLessThan(againWithinMs);
    expect(await endless).toMatchObject({ code: 'BROKER_UNAVAILABLE' });
  });

  it('loads its data says so, and is used again when it has them', async () => {
    const redis = await server({
      config: ['appendonly yes', 'enable-debug-command yes', 'key-load-delay 500', 'loading-process-events-interval-bytes 1024'],
    });
    await redis.ask('DEBUG', 'POPULATE', '4000', 'k', '500');
    await redis.ask('SAVE').catch(() => undefined);
    await redis.ask('BGREWRITEAOF');
    await eventually(async () => String(await redis.ask('INFO', 'persistence')).includes('aof_rewrite_in_progress:0'), 'it is rewritten');
    await redis.crash();
    const connection = connect(redis.url());
    const starting = redis.start();
    const said = await eventually(
      () =>
        run(connection).then(
          () => false as const,
          ({ message }: Error) => message.includes('LOADING') && message,
        ),
      'it says that it loads',
    );
    expect(said).toContain('LOADING');
    await starting;
    expect(await worksAgain(connection)).toBeLessThan(againWithinMs);
  });

  it('has become a replica is asked anew, by another connection, since its name may lead elsewhere by now', async () => {
    const redis = await server();
    const other = await server();
    const connection = connect(redis.url());
    const id = () => connection.command('', ['CLIENT', 'ID']);
    const before = await id();
    await redis.ask('REPLICAOF', '127.0.0.1', String(other.port));
    await expect(run(connection)).rejects.toMatchObject({ code: 'BROKER_UNAVAILABLE', message: expect.stringContaining('READONLY') });
    expect(await id()).not.toBe(before);
    await redis.ask('REPLICAOF', 'NO', 'ONE');
    expect(await worksAgain(connection)).toBeLessThan(againWithinMs);
  });

  it('has used up its memory refuses to store, in words of its own', async () => {
    const redis = await server({ config: ['maxmemory 2mb', 'maxmemory-policy noeviction'] });
    const connection = connect(redis.url());
    const fill = script('fill', "#!lua\nreturn redis.call('rpush', KEYS[1], ARGV[1])");
    const full = await eventually(
      () =>
        connection.run(fill, 'l', ['l'], ['x'.repeat(100_000)]).then(
          () => false as const,
          (error: { code: string; message: string }) => error,
        ),
      'it is full',
    );
    expect(full).toMatchObject({ code: 'BROKER_FULL', message: expect.stringContaining('maxmemory') });
    const drain = script('drain', "#!lua flags=allow-oom\nreturn redis.call('del', KEYS[1])");
    expect(await connection.run(drain, 'l', ['l'], [])).toBe(1);
  });
});

describeWithRedisServers('a network to Redis that', () => {
  async function proxied(timeoutMs: number) {
    const redis = await server();
    const proxy = await TcpProxy.before(redis.port);
    cleanups.push(() => proxy.close());
    return { redis, proxy, connection: connect(redis.url({ port: proxy.port }), timeoutMs) };
  }

  it('loses a reply: the command is not sent a second time', async () => {
    const { redis, proxy, connection } = await proxied(400);
    await run(connection);
    proxy.holdReplies();
    await expect(run(connection)).rejects.toEqual(unavailable);
    await proxy.goOn();
    await worksAgain(connection);
    // The first, the lost one, and the one that worked again.
    expect(await redis.ask('GET', 'n')).toBe('3');
  });

  it('swallows everything, new connections too, is found out and gone around as soon as it is mended', async () => {
    const { proxy, connection } = await proxied(400);
    await run(connection);
    proxy.goSilent();
    for (let round = 0; round < 3; round++) await expect(run(connection)).rejects.toEqual(unavailable);
    await proxy.goOn();
    expect(await worksAgain(connection)).toBeLessThan(againWithinMs);
  });

  it('resets all connections ten times in 3 s', { timeout: 30_000 }, async () => {
    const { redis, proxy, connection } = await proxied(10_000);
    const { heard, subscribed } = listen(connection);
    await subscribed;
    let answered = 0;
    let over = false;
    const load = Array.from({ length: 5 }, async () => {
      while (!over) {
        await run(connection).then(
          () => answered++,
          () => undefined,
        );
      }
    });
    for (let flap = 0; flap < 10; flap++) {
      proxy.cut();
      await sleep(300);
    }
    const before = answered;
    const started = performance.now();
    await eventually(async () => answered > before + 10, 'commands are answered');
    await eventually(async () => {
      await redis.ask('PUBLISH', 'news', 'again');
      return heard.length > 0;
    }, 'the subscriber hears');
    expect(performance.now() - started).toBeLessThan(againWithinMs);
    over = true;
    await Promise.all(load);
  });

  it('is slow, while this process is blocked for longer than its time limit: no connection is given up for that', async () => {
    const { redis, connection } = await proxied(400);
    await run(connection);
    const id = await connection.command('', ['CLIENT', 'ID']);
    const answer = run(connection);
    await new Promise((resolve) => setImmediate(resolve));
    const until = performance.now() + 1_000;
    while (performance.now() < until);
    expect(await answer).toBe(2);
    expect(await connection.command('', ['CLIENT', 'ID'])).toBe(id);
    expect(await redis.ask('GET', 'n')).toBe('2');
  });
});

it('a Redis that is not there is said to be so, soon, and closing does not wait for it', async () => {
  const { freePort } = await import('../../support/own-server.ts');
  const connection = connect(`redis://ann:hunter2@127.0.0.1:${await freePort()}`);
  const { told, subscribed } = listen(connection);
  const started = performance.now();
  await expect(run(connection)).rejects.toMatchObject({
    code: 'BROKER_UNAVAILABLE',
    message: expect.stringMatching(/^(?!.*hunter2).*ECONNREFUSED/),
  });
  await subscribed;
  expect(told.failed).toBeGreaterThan(0);
  await connection.close();
  expect(performance.now() - started).toBeLessThan(3_000);
});
