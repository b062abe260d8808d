/** Probes over HTTP: 200, 503 and nothing else; a port that is taken is an error in words. */
import { createServer } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { type Health, HealthServer } from './health-server.ts';

let server: HealthServer | undefined;

afterEach(async () => {
  await server?.close();
  server = undefined;
});

async function serve(look: () => Promise<Readonly<Record<string, Health | undefined>>>): Promise<string> {
  server = await HealthServer.start({ port: 0, look });
  return `http://127.0.0.1:${server.port}`;
}

const well = { live: true, stalledMs: 0 };

it('is 200 while all parts are live, 503 when one is not, does not answer, or cannot be asked', async () => {
  let parts: Readonly<Record<string, Health | undefined>> | Error = { worker: well, beat: well };
  const url = await serve(() => (parts instanceof Error ? Promise.reject(parts) : Promise.resolve(parts)));
  const look = async () => {
    const response = await fetch(`${url}/health`);
    return [response.status, await response.json()];
  };
  expect(await look()).toEqual([200, { status: 'live', worker: well, beat: well }]);
  const stalled = { live: false, stalledMs: 40_000 };
  parts = { worker: well, beat: stalled };
  expect(await look()).toEqual([503, { status: 'stalled', worker: well, beat: stalled }]);
  parts = { worker: undefined };
  expect(await look()).toEqual([503, { status: 'stalled' }]);
  parts = new Error('secret');
  expect(await look()).toEqual([503, { status: 'stalled' }]);
});

it('answers the paths that probes ask for, by GET and HEAD, and says no to the rest', async () => {
  const url = await serve(() => Promise.resolve({ worker: well }));
  for (const path of ['/', '/health', '/healthz', '/livez', '/health?verbose=1']) expect((await fetch(url + path)).status, path).toBe(200);
  const head = await fetch(`${url}/health`, { method: 'HEAD' });
  expect([head.status, await head.text()]).toEqual([200, '']);
  expect((await fetch(`${url}/metrics`)).status).toBe(404);
  const post = await fetch(`${url}/health`, { method: 'POST', body: 'x'.repeat(100_000) });
  expect([post.status, post.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
});

it('a port that is taken is an error that names it', async () => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  const { port } = other.address() as { readonly port: number };
  try {
    await expect(HealthServer.start({ port, look: () => Promise.resolve({}) })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      message: expect.stringContaining(`127.0.0.1:${port}: EADDRINUSE`) as string,
    });
  } finally {
    other.close();
  }
});
