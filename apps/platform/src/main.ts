/**
 * `npm start`. The first SIGINT or SIGTERM drains and exits 0; the second hands back what runs and exits at once. What
 * cannot be started is told in a line, without a stack.
 */
import { onStopSignals, TaktlineError } from 'taktline';
import { ListenError } from './http/listener.ts';
import { SettingsError } from './settings.ts';
import { type RunningPlatform, startPlatform } from './start.ts';

const print = (text: string): void => void process.stdout.write(`${text}\n`);

/** After the second signal nobody waits longer than this. */
const lastMs = 3_000;

let starting: Promise<RunningPlatform | undefined> = Promise.resolve(undefined);
onStopSignals({
  async gently() {
    print('\nstopping: what runs comes to its end (once more to stop at once)');
    await (await starting)?.stop();
  },
  async atOnce() {
    setTimeout(() => process.exit(1), lastMs).unref();
    await (await starting)?.stopNow();
  },
  done: (code) => process.exit(code),
});

starting = startPlatform({ env: process.env, print }).catch((error: unknown) => {
  process.stderr.write(`${explain(error)}\n`);
  process.exit(1);
});

function explain(error: unknown): string {
  if (error instanceof SettingsError || error instanceof ListenError || error instanceof TaktlineError) return error.message;
  return error instanceof Error ? `The platform could not be started: ${error.message}` : 'The platform could not be started.';
}
