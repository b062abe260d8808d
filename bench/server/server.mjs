/**
 * The benchmark's own Postgres, seen from the benchmark: started by a guard process that takes it down again, with a
 * fresh database and a checkpoint for each run, so that no run inherits anything from the one before.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import pg from 'pg';
import { settings } from './settings.mjs';

export async function startServer() {
  const guard = fork(new URL('./guard.mjs', import.meta.url), { detached: true, execArgv: [] });
  const ended = once(guard, 'exit');
  const [message] = await Promise.race([once(guard, 'message'), ended.then(() => [{ error: 'the guard of the server ended' }])]);
  if (message.error !== undefined) {
    await ended;
    throw new Error(message.error);
  }
  const admin = new pg.Client({ connectionString: message.url });
  admin.on('error', () => undefined);
  await admin.connect();
  let count = 0;
  return {
    async about() {
      const { rows } = await admin.query('select version() as version');
      const shown = {};
      for (const name of Object.keys(settings)) shown[name] = (await admin.query(`show ${name}`)).rows[0][name];
      return { version: rows[0].version, settings: shown };
    },
    /** A database of its own: empty, or a copy of another one that nobody uses. */
    async createDatabase(template) {
      count += 1;
      const name = `bench_${count}`;
      await admin.query(`create database ${name} template ${template?.name ?? 'template0'}`);
      await admin.query('checkpoint');
      const url = new URL(message.url);
      url.pathname = `/${name}`;
      return { name, url: url.href, drop: () => admin.query(`drop database if exists ${name} with (force)`) };
    },
    async stop() {
      await admin.end().catch(() => undefined);
      if (guard.connected) guard.disconnect();
      await ended;
    },
  };
}
