/** Renews a worker's lease from the heartbeat thread, on a connection of its own. Loaded there by name. */
import { TaktlineError } from '../../support/taktline-error.ts';
import type { HeartbeatLink, HeartbeatSpec } from '../broker.ts';
import { Connection } from './connection.ts';
import { quoted } from './schema.ts';

export function openHeartbeat(options: HeartbeatSpec['options']): HeartbeatLink {
  const { url, embedded, namespace, worker, leaseMs } = options;
  const locate = async (): Promise<string> => {
    if (typeof url === 'string') return url;
    if (typeof embedded !== 'string') throw new TaktlineError('BROKER_URL', 'the heartbeat was given no server');
    const { currentUrl } = await import('../embedded/embedded-postgres.ts');
    return currentUrl(embedded);
  };
  const connection = new Connection({ url: locate, name: 'taktline heartbeat', max: 1, timeoutMs: Math.max(1_000, Number(leaseMs) / 3) });
  const schema = quoted(String(namespace));
  const renew = {
    name: 'tl_renew',
    text: `update ${schema}.workers set expires_at = ${schema}.now_ms() + lease_ms where id = $1 and expires_at > 0 returning 1 as renewed`,
  };
  return {
    renew: async () => (await connection.query(renew, [worker])).length === 1,
    close: () => connection.close(),
  };
}
