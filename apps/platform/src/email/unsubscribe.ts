/**
 * The links by which recipients end a subscription (RFC 8058). A link names the record of the mail that it came with
 * and is signed (HMAC-SHA256), so that nobody can unsubscribe others by counting up, and no address stands in a URL.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

export interface UnsubscribeLinks {
  /** The link for the mail of this record. */
  urlFor(record: string): string;
  /** The record that a link was made for; undefined when the signature is not ours. */
  recordOf(record: string, signature: string): string | undefined;
}

export interface UnsubscribeOptions {
  /** At least 32 characters. Whoever has it can make links; when it changes, old links end. */
  readonly secret: string;
  /** Origin under which recipients reach this server. Asked for each link, since it can follow the port listened on. */
  readonly publicUrl: () => string;
}

export function createUnsubscribeLinks({ secret, publicUrl }: UnsubscribeOptions): UnsubscribeLinks {
  if (secret.length < 32) throw new Error('the unsubscribe secret is shorter than 32 characters');
  const sign = (record: string) => createHmac('sha256', secret).update(`taktline unsubscribe 1\n${record}`).digest('base64url');
  return {
    urlFor(record) {
      const url = new URL('/unsubscribe', publicUrl());
      url.searchParams.set('mail', record);
      url.searchParams.set('signature', sign(record));
      return url.href;
    },
    recordOf(record, signature) {
      // Compared as digests: equally long, in the same time whatever differs.
      return timingSafeEqual(digest(signature), digest(sign(record))) ? record : undefined;
    },
  };
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
