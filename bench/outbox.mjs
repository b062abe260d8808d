/**
 * What it costs to enqueue with a transaction, and how fast a relay moves what was enqueued.
 *
 * The caller's transaction inserts an order and enqueues a job: directly into a Postgres broker in the same database, and into the
 * outbox; beside it the same transaction with one more INSERT, of a row that holds as much, and of a bare row of the broker's. The relay is measured beside the least
 * that could move jobs: delete a thousand rows, enqueue them, commit; which makes jobs twice when it is killed.
 *
 *   node outbox.mjs [--runs=5] [--transactions=3000] [--jobs=200000] [--only=transaction,relay]
 */
import { parseArgs } from 'node:util';
import pg from 'pg';
import { z } from 'zod';
import { inputs } from './payload.mjs';
import { quantile } from './quantile.mjs';
import { startServer } from './server/servers.mjs';

const { values: options } = parseArgs({
  options: {
    runs: { type: 'string', default: '5' },
    transactions: { type: 'string', default: '3000' },
    jobs: { type: 'string', default: '200000' },
    only: { type: 'string', default: 'transaction,relay' },
  },
});
const [runs, transactions, jobs] = [options.runs, options.transactions, options.jobs].map(Number);
const batch = 1_000;
const { createApp, migrateOutbox, silentLogger } = await import('taktline');

function appOn(brokerUrl, databaseUrl) {
  const app = createApp({ brokerUrl, queues: [{ name: 'work', priority: 5 }], outbox: { databaseUrl }, logger: silentLogger });
  return { app, work: app.task({ name: 'work', queue: 'work', input: z.looseObject({ n: z.number() }), run: () => null }) };
}

async function open(database) {
  const pool = new pg.Pool({ connectionString: database.url, max: 20 });
  pool.on('error', () => undefined);
  await migrateOutbox(pool);
  await pool.query('create table orders (id bigint generated always as identity primary key, buyer text not null)');
  await pool.query('create table rows (id text primary key, queue text not null, body text not null)');
  return pool;
}

const spread = (values) => ({ median: quantile(values, 0.5), least: Math.min(...values), most: Math.max(...values) });
const shown = ({ median, least, most }, digits = 0) => `${median.toFixed(digits)} (${least.toFixed(digits)} to ${most.toFixed(digits)})`;

/** Every case once in each run, each run from another one on. */
async function alternate(cases, measure) {
  const figures = new Map(cases.map(({ name }) => [name, []]));
  for (let run = 0; run < runs; run++)
    for (let at = 0; at < cases.length; at++) {
      const one = cases[(run + at) % cases.length];
      figures.get(one.name).push(await measure(one));
    }
  return figures;
}

async function transactionCost() {
  const [postgres, redis] = [await startServer('postgres'), await startServer('redis')];
  const [database, other] = [await postgres.createDatabase(), await redis.createDatabase()];
  const pool = await open(database);
  const direct = appOn(database.url, database.url);
  const outbox = appOn(other.url, database.url);
  await direct.app.ping();
  let number = 0;
  // What the direct way cannot do without: the row and its indexes.
  const byHand = `insert into taktline.ready (queue, rank, enqueued_at, id, envelopes)
    values (1, (5::bigint << 56) | nextval('taktline.arrivals'), 0, $1, $2)`;
  const cases = [
    {
      name: 'one more INSERT',
      second: (client, input) => client.query('insert into rows values ($1, $2, $3)', [`row-${++number}`, 'work', JSON.stringify(input)]),
    },
    { name: 'a row by hand', second: (client, input) => client.query(byHand, [`row-${++number}`, JSON.stringify(input)]) },
    { name: 'directly', second: (client, input) => direct.work.enqueue(input, { transaction: client }) },
    { name: 'outbox', second: (client, input) => outbox.work.enqueue(input, { transaction: client }) },
  ];
  const [input] = inputs(0, 1);

  for (const clients of [1, 8]) {
    const measure = async ({ second }) => {
      await pool.query('truncate rows, orders, taktline.ready');
      await pool.query('checkpoint');
      const took = [];
      let left = transactions;
      const work = async () => {
        const client = await pool.connect();
        while (left-- > 0) {
          const began = performance.now();
          await client.query('begin');
          await client.query('insert into orders (buyer) values ($1)', ['ann']);
          await second(client, input);
          await client.query('commit');
          took.push((performance.now() - began) * 1_000);
        }
        client.release();
      };
      const began = performance.now();
      await Promise.all(Array.from({ length: clients }, work));
      return { us: quantile(took, 0.5), perSecond: transactions / ((performance.now() - began) / 1_000) };
    };
    for (const one of cases) await measure(one);
    const figures = await alternate(cases, measure);
    const base = figures.get('one more INSERT');
    console.log(
      `\nan order and its job in a transaction, ${clients} ${clients === 1 ? 'client' : 'clients'}, ${transactions} transactions`,
    );
    for (const [name, measured] of figures) {
      const ratio = spread(measured.map(({ us }, run) => us / base[run].us));
      console.log(
        `  ${name.padEnd(16)} ${shown(spread(measured.map(({ us }) => us)))} µs, ${shown(spread(measured.map(({ perSecond }) => perSecond)))} a second; time ${shown(ratio, 3)} of an INSERT's`,
      );
    }
  }

  const statements = [];
  const client = await pool.connect();
  const counting = { query: (text, values) => (statements.push(text), client.query(text, values)) };
  for (const { work } of [direct, outbox]) {
    await client.query('begin');
    await Promise.all(inputs(0, batch).map((one) => work.enqueue(one, { transaction: counting })));
    await client.query('commit');
    console.log(`${batch} calls of one turn in a transaction: ${statements.splice(0).length} statement`);
  }
  client.release();
  await Promise.all([direct.app.close(), outbox.app.close(), pool.end()]);
  await Promise.all([postgres.stop(), redis.stop()]);
}

async function relayRate() {
  for (const on of ['redis', 'postgres']) {
    const [postgres, server] = [await startServer('postgres'), await startServer(on)];
    const cases = [{ name: 'relay' }, { name: 'floor' }];
    const figures = await alternate(cases, async ({ name }) => {
      const [database, other] = [await postgres.createDatabase(), await server.createDatabase()];
      const pool = await open(database);
      const { app, work } = appOn(other.url, database.url);
      await app.ping();
      const move = name === 'relay' ? await fillOutbox(pool, app, work) : await fillRows(pool, work);
      await pool.query('checkpoint');
      const began = performance.now();
      await move();
      const seconds = (performance.now() - began) / 1_000;
      const there = (await app.inspector.queues())[0].ready;
      if (there !== jobs) throw new Error(`${there} jobs are at the broker, not ${jobs}`);
      await app.close();
      await pool.end();
      await Promise.all([database.drop(), other.drop()]);
      return jobs / seconds;
    });
    const floor = figures.get('floor');
    console.log(`\n${jobs} jobs from the outbox to ${on === 'redis' ? 'Redis' : 'a Postgres elsewhere'}`);
    for (const [name, rates] of figures) {
      const ratio = spread(rates.map((rate, run) => rate / floor[run]));
      console.log(`  ${name.padEnd(6)} ${shown(spread(rates))} jobs a second; ${shown(ratio, 2)} of the floor`);
    }
    await Promise.all([postgres.stop(), server.stop()]);
  }
}

async function fillOutbox(pool, app, work) {
  const client = await pool.connect();
  for (let from = 0; from < jobs; from += 10 * batch) {
    await client.query('begin');
    await work.enqueueMany(inputs(from, Math.min(jobs, from + 10 * batch)), { transaction: client });
    await client.query('commit');
  }
  client.release();
  const relay = app.relay();
  return async () => {
    await relay.start();
    while ((await app.outbox.lag()).waiting > 0) await new Promise((resolve) => setTimeout(resolve, 20));
  };
}

async function fillRows(pool, work) {
  for (let from = 0; from < jobs; from += 10 * batch) {
    const list = inputs(from, Math.min(jobs, from + 10 * batch));
    await pool.query('insert into rows select i, $2, b from unnest($1::text[], $3::text[]) as t(i, b)', [
      list.map((_, index) => String(from + index)),
      'work',
      list.map((one) => JSON.stringify(one)),
    ]);
  }
  const taken = 'delete from rows where ctid = any (array(select ctid from rows limit $1 for update skip locked)) returning body';
  return async () => {
    const mover = async () => {
      const client = await pool.connect();
      for (;;) {
        await client.query('begin');
        const { rows } = await client.query(taken, [batch]);
        if (rows.length > 0) await work.enqueueMany(rows.map(({ body }) => JSON.parse(body)));
        await client.query('commit');
        if (rows.length === 0) break;
      }
      client.release();
    };
    await Promise.all([mover(), mover()]);
  };
}

const chosen = options.only.split(',');
if (chosen.includes('transaction')) await transactionCost();
if (chosen.includes('relay')) await relayRate();
process.exit();
