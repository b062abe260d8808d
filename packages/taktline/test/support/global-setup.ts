/** One embedded Postgres for the whole test run, in a folder that goes away with it. Each test takes a namespace of its own. */
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { joinEmbedded } from '../../src/broker/embedded/embedded-postgres.ts';

export default async function setup(): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), 'taktline-test-'));
  // Postgres runs as another user when the tests run as root; it has to get through.
  await chmod(folder, 0o711);
  process.env['TAKTLINE_SERVER_FILES'] = join(folder, 'server-files');
  const member = await joinEmbedded(join(folder, 'data'));
  process.env['TAKTLINE_TEST_POSTGRES'] = member.url;
  return async () => {
    await member.leave();
    await rm(folder, { recursive: true, force: true });
  };
}
