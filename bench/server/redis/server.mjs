/**
 * The benchmark's own Redis, seen from the benchmark: a server process of its own for each run, empty or with a copy of
 * another one's file, so that memory, statistics and CPU time are those of the run.
 */
import { createClient } from 'redis';
import { openGuard } from '../guarded.mjs';
import { settings } from './settings.mjs';

export async function startServer() {
  const guard = await openGuard('redis');
  let count = 0;

  /** @param template another one that nobody uses and whose file is whole; it is stopped @param more settings of this one alone */
  async function createDatabase(template, more = {}) {
    count += 1;
    const name = `bench_${count}`;
    const url = await guard.ask('create', name, template?.name, more);
    return { name, url, drop: () => guard.ask('drop', name) };
  }

  return {
    async about() {
      const { url, drop } = await createDatabase();
      const client = createClient({ url });
      await client.connect();
      const shown = {};
      for (const name of Object.keys(settings)) shown[name] = (await client.configGet(name))[name];
      client.destroy();
      await drop();
      return { version: guard.ready.version, settings: shown };
    },
    createDatabase,
    stop: () => guard.close(),
  };
}
