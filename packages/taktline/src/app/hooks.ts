/** Calls the app's hooks around a worker. */
import type { Logger } from '../support/logger.ts';
import { messageOf } from '../support/message-of.ts';
import { TaktlineError } from '../support/taktline-error.ts';
import type { Hooks } from './settings.ts';

/** How long a tear-down may take. */
const tearDownMs = 5_000;

/** @throws TaktlineError `HOOK_FAILED` */
export async function setUp(hooks: Hooks, names: readonly (keyof Hooks)[]): Promise<void> {
  for (const name of names) {
    try {
      await hooks[name]?.();
    } catch (cause) {
      const why = messageOf(cause);
      throw new TaktlineError('HOOK_FAILED', `the hook ${name} failed: ${why}`, { cause });
    }
  }
}

/** Never throws: what it is for is over. */
export async function tearDown(hooks: Hooks, names: readonly (keyof Hooks)[], logger: Logger): Promise<void> {
  for (const name of names) {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`it took longer than ${tearDownMs / 1_000} s`)), tearDownMs);
    });
    try {
      await Promise.race([hooks[name]?.(), late]);
    } catch (error) {
      logger.error(`the hook ${name} failed`, { error: messageOf(error) });
    } finally {
      clearTimeout(timer);
    }
  }
}
