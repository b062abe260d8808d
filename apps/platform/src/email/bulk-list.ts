/**
 * Cuts a list of recipients of any length, also one that is read bit by bit, into parts that fit into jobs. The engine
 * bounds a job's payload (1 MiB by default); each part stays far below it.
 */
import type { BulkRecipient } from './email-input.ts';

const recipientsPerPart = 1_000;
const bytesPerPart = 512 * 1024;

/** Yields the recipients in parts of at most 1,000 and about 512 KiB. */
export async function* cutList(
  recipients: Iterable<BulkRecipient> | AsyncIterable<BulkRecipient>,
): AsyncGenerator<readonly BulkRecipient[], void, undefined> {
  let part: BulkRecipient[] = [];
  let bytes = 0;
  for await (const recipient of recipients) {
    const size = Buffer.byteLength(JSON.stringify(recipient)) + 1;
    if (part.length > 0 && (part.length === recipientsPerPart || bytes + size > bytesPerPart)) {
      yield part;
      part = [];
      bytes = 0;
    }
    part.push(recipient);
    bytes += size;
  }
  if (part.length > 0) yield part;
}
