/** A namespace of its own for each test, on the server of the test run. */
import { randomBytes } from 'node:crypto';
import pg from 'pg';

export interface TestNamespace {
  readonly url: string;
  readonly name: string;
  /** `$ns` stands for the schema, `$ended` for its ended jobs, a row each. */
  query<Row extends pg.QueryResultRow>(text: string, values?: readonly unknown[]): Promise<Row[]>;
  drop(): Promise<void>;
}

const eachEnded = String.raw`(select m.id, e.state, e.finished_at, nullif(m.result, '') as result, nullif(m.past, '') as past from $ns.ended e,
  rows from (string_to_table(coalesce(e.ids, e.id), E'\x1e'), string_to_table(e.results, E'\x1e'), string_to_table(e.pasts, E'\x1e')) as m(id, result, past)) as ended`;

export async function testNamespace(): Promise<TestNamespace> {
  const url = process.env['TAKTLINE_TEST_POSTGRES'];
  if (url === undefined) throw new Error('the test server is missing: run the tests with vitest from the repository root');
  const name = `t_${randomBytes(6).toString('hex')}`;
  const client = new pg.Client(url);
  await client.connect();
  return {
    url,
    name,
    query: async (text, values = []) =>
      (await client.query(text.replaceAll('$ended', eachEnded).replaceAll('$ns', `"${name}"`), [...values])).rows,
    drop: async () => {
      await client.query(`drop schema if exists "${name}" cascade`);
      await client.end();
    },
  };
}
