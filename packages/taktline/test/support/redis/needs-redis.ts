/** Test suites that need a Redis. Without one they are skipped, and shared-redis.ts lists them at the end of the run. */
import { appendFileSync } from 'node:fs';
import { describe } from 'vitest';

/** Runs on the Redis of the run, which it shares with others; in a namespace of its own. */
export function describeOnRedis(name: string, suite: (url: string) => void): void {
  const url = process.env['TAKTLINE_TEST_REDIS'];
  if (url === undefined) return notRun(name);
  describe(name, () => suite(url));
}

/** Starts servers of its own. */
export function describeWithRedisServers(name: string, suite: () => void): void {
  if (process.env['TAKTLINE_TEST_REDIS_BINARY'] === undefined) return notRun(name);
  describe(name, suite);
}

function notRun(name: string): void {
  // No Redis was found or could be installed: with CI=true that fails the run.
  describe.skip(name);
  const list = process.env['TAKTLINE_TEST_NOT_RUN'];
  if (list !== undefined) appendFileSync(list, `${name}\n`);
}
