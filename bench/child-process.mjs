/** Starts child.mjs under a given Node.js and waits for its reply; kills it when it takes too long or the benchmark ends. */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const script = fileURLToPath(new URL('./child.mjs', import.meta.url));
const running = new Set();

/** What a process that has ended leaves behind may hold its output open; it is waited for so long. */
const outputMs = 2_000;

/** @throws Error with the reason, when the child fails, dies or is too late */
export function runChild(node, order, { limitMs, execArgv = [] }) {
  return new Promise((resolve, reject) => {
    const child = fork(script, { execPath: node, execArgv, stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
    running.add(child);
    let said = '';
    let reply;
    const timer = setTimeout(() => child.kill('SIGKILL'), limitMs);
    const hear = (text) => {
      said = (said + text).slice(-4_000);
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    child.on('error', reject);
    child.on('message', (message) => {
      reply = message;
    });
    child.on('exit', (code, signal) => {
      clearTimeout(timer);
      running.delete(child);
      const late = setTimeout(() => over(code, signal), outputMs);
      child.once('close', () => {
        clearTimeout(late);
        over(code, signal);
      });
    });
    const over = (code, signal) => {
      child.stdout.destroy();
      child.stderr.destroy();
      if (reply?.error !== undefined) reject(new Error(`${reply.error}\n${said}`));
      else if (reply === undefined) reject(new Error(`the process ended with ${signal ?? code} before it was done: ${said}`));
      else resolve(reply.result);
    };
    child.send(order);
  });
}

export function killChildren() {
  for (const child of running) child.kill('SIGKILL');
}
