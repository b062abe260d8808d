/**
 * The process that owns the benchmark's servers of one kind: gives them a folder, does what it is asked to with them, and
 * when the benchmark ends, however it ends, stops them and removes the folder. It runs in a session of its own, so that
 * a Ctrl-C reaches the benchmark only.
 */
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

let folder;
let host;
let over;

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => undefined);
process.on('disconnect', end);
process.on('message', (message) => void answer(message));

const { start } = await import(`./${process.argv[2]}/host.mjs`);
const starting = begin();
try {
  tell({ ready: await starting });
} catch (error) {
  tell({ error: error.message });
  await end();
}

async function begin() {
  folder = await mkdtemp(join(tmpdir(), 'taktline-bench-'));
  await chmod(folder, 0o755);
  host = await start(folder, () => over !== undefined);
  return host.ready;
}

async function answer({ id, request, args }) {
  try {
    await starting;
    tell({ id, result: await host[request](...args) });
  } catch (error) {
    tell({ id, error: error.message });
  }
}

function tell(message) {
  if (process.connected) process.send(message);
}

/** Stops the servers, removes their folder, ends this process. */
function end() {
  over ??= (async () => {
    await starting.catch(() => undefined);
    await host?.close();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
    process.exit(0);
  })();
  return over;
}
