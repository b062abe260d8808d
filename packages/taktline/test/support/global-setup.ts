/**
 * One embedded Postgres and one Redis for the whole test run, in folders that go away with it. Each test takes a namespace
 * of its own.
 */
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { joinEmbedded } from '../../src/broker/embedded/embedded-postgres.ts';
import { startSharedRedis } from './redis/shared-redis.ts';

export default async function setup(): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), 'taktline-test-'));
  // Postgres runs as another user when the tests run as root; it has to get through.
  await chmod(folder, 0o711);
  process.env['TAKTLINE_SERVER_FILES'] = join(folder, 'server-files');
  const [member, stopRedis] = await Promise.all([joinEmbedded(join(folder, 'data')), startSharedRedis()]);
  process.env['TAKTLINE_TEST_POSTGRES'] = member.url;
  return async () => {
    await member.leave();
    await rm(folder, { recursive: true, force: true });
    await stopRedis();
  };
}
