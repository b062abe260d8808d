/** `expect.poll` with a time that a busy machine does not exceed. */
import { expect } from 'vitest';

export const polled = <Value>(read: () => Value | Promise<Value>) => expect.poll(read, { timeout: 30_000, interval: 10 });
