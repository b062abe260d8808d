/**
 * The benchmark's own Postgres, seen from the benchmark: a fresh database and a checkpoint for each run, so that no run
 * inherits anything from the one before.
 */
import pg from 'pg';
import { openGuard } from '../guarded.mjs';
import { settings } from './settings.mjs';

export async function startServer() {
  const guard = await openGuard('postgres');
  const { url: adminUrl } = guard.ready;
  const admin = new pg.Client({ connectionString: adminUrl });
  admin.on('error', () => undefined);
  await admin.connect();
  let count = 0;
  return {
    async about() {
      const { rows } = await admin.query('select version() as version');
      const shown = {};
      for (const name of Object.keys(settings)) shown[name] = (await admin.query(`show ${name}`)).rows[0][name];
      return { version: rows[0].version.split(' on ')[0], settings: shown };
    },
    /** A database of its own: empty, or a copy of another one that nobody uses. */
    async createDatabase(template) {
      count += 1;
      const name = `bench_${count}`;
      await admin.query(`create database ${name} template ${template?.name ?? 'template0'}`);
      await admin.query('checkpoint');
      const url = new URL(adminUrl);
      url.pathname = `/${name}`;
      return { name, url: url.href, drop: () => admin.query(`drop database if exists ${name} with (force)`) };
    },
    async stop() {
      await admin.end().catch(() => undefined);
      await guard.close();
    },
  };
}
