/**
 * Has a Redis that writes an append-only file write it anew, once after each start of the server.
 *
 * A Redis that is killed while it writes can leave the first commands of a script, without its end, at the end of that file. When it
 * starts again it runs none of them, but with aof-load-truncated (the default) it cuts off only the command that is not whole: what it
 * writes from then on becomes the end of that script, and the next start runs half of it in between. Seen with Redis 7.0.15;
 * Valkey has mended it (https://github.com/valkey-io/valkey/pull/4342). A file that was written anew does not hold it.
 */
import type { Wire } from './wire.ts';

/** Never fails: what the user of the connection may not do here, `taktline doctor` tells. */
export async function renewAppendOnlyFile(wire: Wire): Promise<void> {
  try {
    const info = await wire.send(['INFO', 'persistence']);
    if (typeof info === 'string' && wantsRenewal(info)) await wire.send(['BGREWRITEAOF']);
  } catch {
    // Somebody else has asked for it just before, or it is not allowed, or the connection is over.
  }
}

/** @param info what INFO says of persistence; undefined when it says nothing of it */
export function wantsRenewal(info: string): boolean | undefined {
  const field = (name: string) => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1];
  const enabled = field('aof_enabled');
  if (enabled === undefined) return undefined;
  if (enabled !== '1' || field('aof_rewrite_in_progress') === '1' || field('aof_rewrite_scheduled') === '1') return false;
  return field('aof_last_rewrite_time_sec') === '-1' || field('aof_last_bgrewrite_status') === 'err';
}
