/**
 * Starts that are reported by processes which the measured one did not make: children of a contestant's pool. They write
 * lines to a socket whose path is in BENCH_STARTS.
 */
import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const reportMs = 20;

/** Listens, and names itself to processes that are made from now on. `record` is told each start. */
export async function hearStarts(record) {
  const path = join(tmpdir(), `taktline-bench-${randomBytes(6).toString('hex')}.sock`);
  const server = createServer((socket) => {
    createInterface({ input: socket }).on('line', (line) => {
      for (const [n, at, id] of JSON.parse(line)) record(n, at, id ?? undefined);
    });
  });
  await new Promise((resolve, reject) => server.once('error', reject).listen(path, resolve));
  process.env.BENCH_STARTS = path;
  return () => {
    server.close();
    rmSync(path, { force: true });
  };
}

/** In a child. @returns a function that reports a start; its `flush` resolves when all are on their way */
export function reportStarts() {
  const socket = createConnection(process.env.BENCH_STARTS);
  let starts = [];
  const send = (sent) => {
    if (starts.length > 0) socket.write(`${JSON.stringify(starts)}\n`, sent);
    else sent?.();
    starts = [];
  };
  setInterval(() => send(), reportMs);
  const report = (n, at, id) => void starts.push([n, at, id]);
  return Object.assign(report, { flush: () => new Promise((resolve) => send(() => resolve())) });
}
