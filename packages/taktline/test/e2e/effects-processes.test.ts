/** Effects of jobs that run in child processes: made once there as anywhere. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { AppDatabase } from '../support/app-database.ts';
import { onEachBroker } from '../support/harness.ts';

const module = new URL('../fixtures/effects-app.mjs', import.meta.url);
const { define } = (await import(module.href)) as { define(app: unknown, options: object): Pay };

/** As the fixture makes it; it has no types. */
interface Pay {
  readonly pay: { enqueueMany(inputs: readonly object[]): Promise<{ result(): Promise<object> }[]> };
  end(): Promise<void>;
}

onEachBroker('effects in a process pool', (h) => {
  let database: AppDatabase;
  let pay: Pay;

  beforeEach(async () => {
    database = await AppDatabase.make('beside');
    await database.query('create table $outbox.lines (order_id integer not null, attempt integer not null)');
    const { url: databaseUrl, schema } = database;
    Object.assign(process.env, { TEST_BROKER: h.store.url, TEST_NAMESPACE: h.store.name, TEST_DATABASE: databaseUrl, TEST_SCHEMA: schema });
    const app = h.app({ outbox: database.settings });
    pay = define(app, { databaseUrl, schema });
    await h.work(app, { pool: 'processes', module, concurrency: 2, slots: 5 });
  });
  afterEach(async () => {
    for (const name of ['TEST_BROKER', 'TEST_NAMESPACE', 'TEST_DATABASE', 'TEST_SCHEMA']) delete process.env[name];
    await h.end();
    await pay.end();
    await database.drop();
  });

  it('twenty jobs that fail after their effects, two for each of ten orders: ten effects', async () => {
    const inputs = Array.from({ length: 20 }, (_, n) => ({ order: Math.floor(n / 2), failsAfter: true }));
    const results = await Promise.all((await pay.pay.enqueueMany(inputs)).map((handle) => handle.result()));
    for (const [n, result] of results.entries()) {
      expect(result).toMatchObject({ attempt: 1, gotBy: 2 });
      expect((result as { pid: number }).pid).not.toBe(process.pid);
      // Both jobs of an order have one outcome.
      if (n % 2 === 1) expect(result).toEqual(results[n - 1]);
    }
    const lines = await database.query('select order_id as order, attempt from $outbox.lines order by 1');
    expect(lines).toEqual(Array.from({ length: 10 }, (_, order) => ({ order, attempt: 1 })));
  });
});
