/** The keys of a namespace on a Redis that others use too. */
import { Connection } from '../../../src/broker/redis/connection.ts';

/** All keys of a namespace, sorted. */
export async function keysOf(url: string, namespace: string): Promise<string[]> {
  const connection = new Connection({ url, namespace, role: 'test' });
  const found = await scan(connection, namespace);
  await connection.close();
  return found.toSorted();
}

export async function removeNamespace(url: string, namespace: string): Promise<void> {
  const connection = new Connection({ url, namespace, role: 'test' });
  for (const key of await scan(connection, namespace)) await connection.command(key, ['UNLINK', key]);
  await connection.close();
}

async function scan(connection: Connection, namespace: string): Promise<string[]> {
  const found = new Set<string>();
  let cursor = '0';
  do {
    const args = ['SCAN', cursor, 'MATCH', `taktline:{${namespace}[:}]*`, 'COUNT', '1000'];
    const [next, keys] = (await connection.command('', args)) as [string, string[]];
    for (const key of keys) found.add(key);
    cursor = next;
  } while (cursor !== '0');
  return [...found];
}
