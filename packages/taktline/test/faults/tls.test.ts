/** A Postgres that speaks TLS: its certificate is checked, and what cannot be trusted is refused in words. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { HeartbeatLink } from '../../src/broker/broker.ts';
import { openBroker } from '../../src/broker/open-broker.ts';
import { authority, serverCertificate } from '../support/certificate.ts';
import { OwnServer } from '../support/own-server.ts';

const ours = authority('the authority of this test');
const other = authority('another authority');
const right = serverCertificate('localhost', ours);

let folder: string;
let server: OwnServer;
const plainServers: OwnServer[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'taktline-tls-'));
  await writeFile(join(folder, 'ours.pem'), ours.certificate);
  await writeFile(join(folder, 'other.pem'), other.certificate);
  server = await OwnServer.make({
    files: {
      'server.crt': right.certificate,
      'server.key': right.key,
      'pg_hba.conf': 'hostssl all all 127.0.0.1/32 scram-sha-256\nhostssl all all ::1/128 scram-sha-256\n',
      'postgresql.conf': '\nssl = on\n',
    },
  });
});

afterAll(async () => {
  await Promise.all([server, ...plainServers].map((one) => one?.remove()));
  await rm(folder, { recursive: true, force: true });
});

function open(host: string, mode: string, root?: string, at: OwnServer = server) {
  const query = `?sslmode=${mode}${root === undefined ? '' : `&sslrootcert=${encodeURIComponent(join(folder, root))}`}`;
  const queues = [{ name: 'usual', priority: 5 }];
  return openBroker({ url: at.url({ host, query }), namespace: 'tls', queues, deadLetterTtlMs: 86_400_000 });
}

describe('TLS', () => {
  it('a server whose certificate is in order is used, by the heartbeat and the listener too', async () => {
    const { broker, inspector, close } = await open('localhost', 'verify-full', 'ours.pem');
    try {
      expect(await broker.enqueue([{ id: 'it', queue: 'usual', priority: 5, envelope: '{}' }])).toEqual(['created']);
      const findings = await inspector.examine();
      expect(findings.find(({ check }) => check === 'encryption')).toMatchObject({ ok: true, detail: 'TLS' });
      const worker = await broker.join({ name: 'w', leaseMs: 60_000, info: {} });
      const { module, options } = broker.heartbeat(worker, 60_000);
      const link = ((await import(/* @vite-ignore */ module)) as { openHeartbeat(given: typeof options): HeartbeatLink }).openHeartbeat(
        options,
      );
      expect(await link.renew()).toBe(true);
      await link.close();
      const heard = new Promise<void>((resolve) => void broker.listen([], { jobs: resolve, attention: () => undefined }));
      await heard;
    } finally {
      await close();
    }
  });

  it('a certificate of another authority is refused', async () => {
    const refusal = expect.objectContaining({ code: 'BROKER_URL', message: expect.stringMatching(/^TLS with Postgres failed: /) });
    await expect(open('localhost', 'verify-full', 'other.pem')).rejects.toEqual(refusal);
    // Nor is it by the authorities that Node.js knows.
    await expect(open('localhost', 'verify-full')).rejects.toEqual(refusal);
  });

  it('a certificate of another host is refused', async () => {
    const wrong = serverCertificate('elsewhere.example', ours);
    const elsewhere = await OwnServer.make({
      files: { 'server.crt': wrong.certificate, 'server.key': wrong.key, 'postgresql.conf': '\nssl = on\n' },
    });
    plainServers.push(elsewhere);
    const refused = expect(open('localhost', 'verify-full', 'ours.pem', elsewhere)).rejects;
    await refused.toMatchObject({ code: 'BROKER_URL', message: expect.stringContaining('altnames') });
  });

  it('a server that wants TLS refuses whoever comes without', async () => {
    await expect(open('localhost', 'disable')).rejects.toMatchObject({
      code: 'BROKER_URL',
      message: expect.stringContaining('no encryption'),
    });
  });

  it('a server without TLS is refused by a URL that wants it', async () => {
    const plain = await OwnServer.make();
    plainServers.push(plain);
    await expect(open('localhost', 'verify-full', 'ours.pem', plain)).rejects.toMatchObject({ code: 'BROKER_URL' });
  });

  it('a file of authorities that is not there is named', async () => {
    const refused = expect(open('localhost', 'verify-full', 'missing.pem')).rejects;
    await refused.toMatchObject({ code: 'BROKER_URL', message: expect.stringContaining('missing.pem') });
  });
});
