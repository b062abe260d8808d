/** A Redis that speaks TLS, and one whose users may do little: what is in order works, and what is not is refused in words. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { Connection, script } from '../../../src/broker/redis/connection.ts';
import { authority, serverCertificate } from '../../support/certificate.ts';
import { describeWithRedisServers } from '../../support/redis/needs-redis.ts';
import { OwnRedis } from '../../support/redis/own-redis.ts';

const connections: Connection[] = [];
afterEach(async () => {
  await Promise.all(connections.splice(0).map((connection) => connection.close()));
});

function connect(url: string): Connection {
  const connection = new Connection({ url, namespace: 'safe', role: 'client', timeoutMs: 2_000 });
  connections.push(connection);
  return connection;
}

const ping = (url: string) => connect(url).command('', ['PING']);
const refusal = (words: string | RegExp) =>
  expect.objectContaining({
    code: 'BROKER_URL',
    message: typeof words === 'string' ? expect.stringContaining(words) : expect.stringMatching(words),
  });

describeWithRedisServers('TLS with Redis', () => {
  const ours = authority('the authority of this test');
  const right = serverCertificate('localhost', ours);
  const client = serverCertificate('a client', ours);
  let folder: string;
  let server: OwnRedis;
  let strict: OwnRedis;
  const file = (name: string) => encodeURIComponent(join(folder, name));
  const url = (at: OwnRedis, query: string, host = 'localhost') => at.url({ scheme: 'rediss', host, rest: query });

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'taktline-tls-'));
    const files = {
      'ours.pem': ours.certificate,
      'other.pem': authority('another').certificate,
      'client.crt': client.certificate,
      'client.key': client.key,
    };
    for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
    const tls = { certificate: right.certificate, key: right.key, ca: ours.certificate };
    server = await OwnRedis.make({ tls });
    strict = await OwnRedis.make({ tls: { ...tls, clientsToo: true } });
  });

  afterAll(async () => {
    await Promise.all([server?.remove(), strict?.remove()]);
    await rm(folder, { recursive: true, force: true });
  });

  it('a server whose certificate is in order is used', async () => {
    expect(await ping(url(server, `?ca=${file('ours.pem')}`))).toBe('PONG');
  });

  it('a certificate for another name is used by that name only', async () => {
    await expect(ping(url(server, `?ca=${file('ours.pem')}`, '127.0.0.1'))).rejects.toEqual(refusal(/^TLS with Redis failed: .*altnames/));
    expect(await ping(url(server, `?ca=${file('ours.pem')}&servername=localhost`, '127.0.0.1'))).toBe('PONG');
  });

  it('a certificate of another authority is refused', async () => {
    await expect(ping(url(server, `?ca=${file('other.pem')}`))).rejects.toEqual(refusal('TLS with Redis failed'));
    // Nor is it trusted by the authorities that Node.js knows.
    await expect(ping(url(server, ''))).rejects.toEqual(refusal('TLS with Redis failed'));
  });

  it('the authorities of SSL_CERT_FILE count when the URL names none', async () => {
    process.env['SSL_CERT_FILE'] = join(folder, 'ours.pem');
    try {
      expect(await ping(url(server, ''))).toBe('PONG');
    } finally {
      delete process.env['SSL_CERT_FILE'];
    }
  });

  it('a server that wants to know its clients gets a certificate, and refuses who has none', async () => {
    expect(await ping(url(strict, `?ca=${file('ours.pem')}&cert=${file('client.crt')}&key=${file('client.key')}`))).toBe('PONG');
    await expect(ping(url(strict, `?ca=${file('ours.pem')}`))).rejects.toEqual(refusal('TLS with Redis failed'));
  });

  it('a file that is not there is named', async () => {
    await expect(ping(url(server, `?ca=${file('missing.pem')}`))).rejects.toEqual(refusal('missing.pem'));
  });

  it('a server without TLS is refused by a URL that wants it', async () => {
    const plain = await OwnRedis.make();
    await expect(ping(url(plain, `?ca=${file('ours.pem')}`))).rejects.toMatchObject({ message: expect.stringMatching(/TLS/) });
    await plain.remove();
  });
});

describeWithRedisServers('the users of a Redis', () => {
  let server: OwnRedis;

  beforeAll(async () => {
    server = await OwnRedis.make({
      config: [
        'user default off',
        'user app on ">pa ss:/@€" ~app:* &app:* resetchannels &app:* -@all +@read +@write +@scripting +@pubsub -@dangerous +info +time +cluster|slots',
        'user mute on >secret ~* &* -@all +@connection',
      ],
    });
  });
  afterAll(() => server?.remove());

  const app = () => connect(server.url({ login: `app:${encodeURIComponent('pa ss:/@€')}` }));
  const write = script('write', "return redis.call('set', KEYS[1], ARGV[1])");

  it('one with few rights runs scripts on its keys, hears its channels and learns what it may know', async () => {
    const connection = app();
    expect(await connection.run(write, 'app:a', ['app:a'], ['1'])).toBe('OK');
    const heard = new Promise<string>((resolve) => {
      void connection.subscribe({
        channels: ['app:c'],
        message: (_, payload) => resolve(payload),
        missed: () => void connection.command('', ['PUBLISH', 'app:c', 'yes']),
      });
    });
    expect(await heard).toBe('yes');
    const [facts] = await connection.facts();
    // CONFIG is forbidden; INFO knows some of it.
    expect(facts).toMatchObject({
      version: expect.any(String),
      maxmemoryPolicy: 'noeviction',
      appendonly: false,
      appendfsync: undefined,
      save: undefined,
    });
    expect(facts?.time).toBeGreaterThan(1.7e12);
  });

  it('one who may ask nothing learns nothing, and that is no error', async () => {
    const [facts] = await connect(server.url({ login: 'mute:secret' })).facts();
    expect(facts).toEqual({
      product: 'redis',
      version: undefined,
      role: undefined,
      replicas: undefined,
      maxmemory: undefined,
      maxmemoryPolicy: undefined,
      appendonly: undefined,
      appendfsync: undefined,
      save: undefined,
      cluster: undefined,
      time: undefined,
    });
  });

  it('what is forbidden is said so, and is final', async () => {
    const connection = app();
    await expect(connection.run(write, 'other', ['other'], ['1'])).rejects.toEqual(refusal('NOPERM'));
    await expect(connection.command('', ['FLUSHALL'])).rejects.toEqual(refusal('NOPERM'));
    const failure = await new Promise((failed) => {
      void connection.subscribe({ channels: ['other'], message: () => undefined, missed: () => undefined, failed });
    });
    expect(failure).toEqual(refusal('NOPERM'));
  });

  it('a wrong password, a wrong user or none is refused without being repeated', async () => {
    for (const login of ['app:hunter2', 'hunter2:hunter2', ':hunter2']) {
      await expect(ping(server.url({ login }))).rejects.toEqual(refusal(/^Redis refused the login: (?!.*hunter2)/));
    }
    await expect(ping(server.url())).rejects.toEqual(refusal('NOAUTH'));
  });

  it('a database that is not there is refused', async () => {
    await expect(ping(server.url({ login: `app:${encodeURIComponent('pa ss:/@€')}`, rest: '/99' }))).rejects.toMatchObject({
      code: 'BROKER_URL',
    });
  });
});
