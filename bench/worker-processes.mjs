/** Workers in processes of their own, seen from the measured process, which only listens to them. */
import { fork } from 'node:child_process';
import { once } from 'node:events';

const startMs = 30_000;

/** Starts them and waits until each says that it works; `record` is told each start. */
export async function startWorkers({ on, contestant, url }, { concurrency, task, processes }, record) {
  const workers = Array.from({ length: processes }, () => {
    const child = fork(new URL('./worker-process.mjs', import.meta.url), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const ended = once(child, 'exit');
    const ready = new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`a worker process did not start within ${startMs} ms`)), startMs);
      child.on('message', (message) => {
        if (message.error !== undefined) reject(new Error(message.error));
        if (message.ready === true) resolve();
        if (message.ready === true) clearTimeout(timer);
        for (const [n, at, id] of message.starts ?? []) record(n, at, id ?? undefined);
      });
      ended.then(([code, signal]) => reject(new Error(`a worker process ended with ${signal ?? code}`)), reject);
    });
    child.send({ on, contestant, url, concurrency, task });
    return { child, ended, ready };
  });
  await Promise.all(workers.map(({ ready }) => ready));
  return {
    async stop() {
      for (const { child } of workers) child.kill('SIGKILL');
      await Promise.all(workers.map(({ ended }) => ended));
    },
  };
}
