/** Ends a server's process: a signal that it knows, and a harder one when that takes too long. */
import { once } from 'node:events';

const stopMs = 15_000;

export async function stopProcess(child, signal, harder) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill(signal);
  const hard = setTimeout(() => child.kill(harder), stopMs);
  await exited;
  clearTimeout(hard);
}
