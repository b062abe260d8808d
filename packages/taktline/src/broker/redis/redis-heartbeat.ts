/** Renews a worker's lease from the heartbeat thread, on a connection of its own. Loaded there by name. */
import type { HeartbeatLink, HeartbeatSpec } from '../broker.ts';
import { Connection } from './connection.ts';
import { Keys } from './keys.ts';
import { scripts } from './scripts.ts';

export function openHeartbeat(options: HeartbeatSpec['options']): HeartbeatLink {
  const { url, namespace, worker, leaseMs } = options;
  const connection = new Connection({
    url: String(url),
    namespace: String(namespace),
    role: 'heartbeat',
    timeoutMs: Math.max(1_000, Number(leaseMs) / 3),
  });
  const { workers } = new Keys(String(namespace));
  return {
    renew: async () => (await connection.run(scripts.beat, workers[0], workers, [String(worker), String(leaseMs)])) === 1,
    close: () => connection.close(1_000),
  };
}
