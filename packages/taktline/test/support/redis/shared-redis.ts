/**
 * The Redis of a test run: TEST_REDIS_URL, or one of our own that ends with the run. What needs one and finds none says so
 * at the end of the run, loudly, and with CI=true it is a failure.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OwnRedis } from './own-redis.ts';
import { findRedis, installCommand, installRedis } from './redis-binary.ts';

/** For global-setup.ts. Resolves to what ends it. */
export async function startSharedRedis(): Promise<() => Promise<void>> {
  const binary = findRedis() ?? (await installRedis());
  if (binary !== undefined) process.env['TAKTLINE_TEST_REDIS_BINARY'] = JSON.stringify(binary);
  const given = process.env['TEST_REDIS_URL'];
  // Namespaces of many tests live side by side in it.
  const own =
    given === undefined && binary !== undefined ? await OwnRedis.make({ config: ['appendonly yes', 'appendfsync everysec'] }) : undefined;
  const url = given ?? own?.url();
  if (url !== undefined) process.env['TAKTLINE_TEST_REDIS'] = url;
  const folder = await mkdtemp(join(tmpdir(), 'taktline-not-run-'));
  const list = join(folder, 'list');
  process.env['TAKTLINE_TEST_NOT_RUN'] = list;
  return async () => {
    await own?.remove();
    const missed = (await readFile(list, 'utf8').catch(() => '')).split('\n').filter((line) => line !== '');
    await rm(folder, { recursive: true, force: true });
    if (missed.length > 0) tell(missed, binary === undefined);
  };
}

function tell(missed: readonly string[], withoutBinary: boolean): void {
  const mend = withoutBinary ? `install it:  ${installCommand}` : 'set TEST_REDIS_URL to a Redis that may be filled and emptied';
  const rule = '!'.repeat(100);
  process.stderr.write(
    `\n${rule}\nNOT RUN for want of a Redis 7.0 or later (${missed.length}):\n${missed.map((name) => `  - ${name}`).join('\n')}\n${mend}\n${rule}\n\n`,
  );
  if (process.env['CI'] === 'true') process.exitCode = 1;
}
