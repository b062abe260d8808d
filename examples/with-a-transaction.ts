/**
 * An order and the job that it causes commit together, or not at all; and the job makes its effect once, though it runs twice.
 * Needs a Postgres of the app's: DATABASE_URL=postgres://user:password@localhost:5432/database
 */
import pg from 'pg';
import { createApp, migrateOutbox } from 'taktline';
import { z } from 'zod';

const app = createApp({ queues: [{ name: 'orders', priority: 5 }] });
const pool = new pg.Pool({ connectionString: process.env['DATABASE_URL'] });
// A server may end connections, such as that of a transaction that stands still for longer than a lease.
pool.on('error', () => undefined);
pool.on('connect', (client) => client.on('error', () => undefined));
await migrateOutbox(pool);
await pool.query('create table if not exists orders (id integer primary key, credits integer not null default 0)');

async function transaction<Result>(work: (client: pg.PoolClient) => Promise<Result>): Promise<Result> {
  const client = await pool.connect();
  try {
    await client.query('begin');
    const result = await work(client);
    await client.query('commit');
    return result;
  } catch (error) {
    await client.query('rollback');
    throw error;
  } finally {
    client.release();
  }
}

const credit = app.task({
  name: 'order.credit',
  queue: 'orders',
  input: z.object({ order: z.int() }),
  retry: { backoff: { type: 'fixed', delay: '10ms' } },
  run: async ({ order }, ctx) => {
    const credits = await transaction((client) =>
      ctx.once(client, `credit ${order}`, async () => {
        const { rows } = await client.query<{ credits: number }>(
          'update orders set credits = credits + 1 where id = $1 returning credits',
          [order],
        );
        return rows[0]?.credits;
      }),
    );
    if (ctx.attempt === 1) throw new Error('something after the effect went wrong');
    return { credits, attempt: ctx.attempt };
  },
});

const place = (order: number) =>
  transaction(async (client) => {
    await client.query('insert into orders (id) values ($1)', [order]);
    const handle = await credit.enqueue({ order }, { transaction: client });
    if (order < 0) throw new Error('there is no such order');
    return handle;
  });

await app.worker().start();
await app.relay().start();
await place(-1).catch((error: Error) => console.log(error.message));
const handle = await place(Date.now() % 1_000_000_000);
console.log(await handle.result({ timeout: '10s' }));
await app.close();
await pool.end();
