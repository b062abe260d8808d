/** A look into a run's Postgres database, from the measured process: counts, sizes, and bringing it to rest. */
import pg from 'pg';

const size = `select sum(pg_total_relation_size(c.oid))::bigint as bytes from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'm', 'S') and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')`;

export async function openStore(url) {
  const client = await connect(url);
  const value = async (query, context) =>
    typeof query === 'function' ? query(client, context) : Object.values((await client.query(query)).rows[0])[0];
  return {
    /** The one value of a query: SQL, or a function of the client and what is known of the run. */
    value,
    /** Tables, indexes and TOAST. */
    bytes: async () => Number(await value(size)),
    /** Planner's statistics, visibility, nothing dirty. */
    async settle() {
      await client.query('vacuum (analyze)');
      await client.query('checkpoint');
    },
    /** Opens a transaction that runs a statement and is then left idle; gives what ends it. */
    async hold(sql) {
      const holder = await connect(url);
      await holder.query('begin isolation level repeatable read');
      await holder.query(sql);
      return () => holder.end();
    },
  };
}

async function connect(connectionString) {
  const client = new pg.Client({ connectionString });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}
