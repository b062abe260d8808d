/** Opens the platform's database by the settings, as every program of the platform does first. */
import { resolve } from 'node:path';
import type { Logger } from 'taktline';
import { joinEmbedded } from 'taktline/embedded';
import { Closers } from '../closers.ts';
import { createLogger } from '../logging.ts';
import type { Settings } from '../settings.ts';
import { openDatabase } from './database.ts';
import { migrate } from './migrate.ts';

/** The database of the settings, migrated; the embedded one when none is set. */
export async function openPlatformDatabase(settings: Settings, logger: Logger, closers: Closers) {
  const { databaseUrl } = settings;
  let url = () => databaseUrl ?? '';
  if (databaseUrl === undefined) {
    const member = await joinEmbedded(resolve(settings.folder), { database: 'platform', logger });
    closers.add(() => member.leave());
    url = () => member.url;
  }
  const database = openDatabase({
    url,
    onIdleError: (error) => logger.warn('a connection to the database broke', { error: error.name }),
  });
  closers.add(() => database.destroy());
  const done = await migrate(database);
  if (done.length > 0) logger.info('the database was migrated', { migrations: done });
  return {
    database,
    databaseUrl: url,
    databaseAt: databaseUrl === undefined ? `embedded Postgres in ${settings.folder}` : describeUrl(databaseUrl),
  };
}

/** For a command: opened, used and closed again, and nothing said of it but what goes wrong. */
export async function withPlatformDatabase<Result>(
  settings: Settings,
  work: (opened: Awaited<ReturnType<typeof openPlatformDatabase>>) => Promise<Result>,
): Promise<Result> {
  const closers = new Closers();
  try {
    return await work(await openPlatformDatabase(settings, createLogger({ level: 'error' }), closers));
  } finally {
    await closers.close();
  }
}

function describeUrl(text: string): string {
  const url = new URL(text);
  return `${url.hostname}${url.port === '' ? '' : `:${url.port}`}${url.pathname}`;
}
