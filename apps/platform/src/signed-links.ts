/**
 * Links in mails that carry their own proof (HMAC-SHA256): whoever has the mail may follow them, nobody finds others by counting up,
 * and no address stands in a URL.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

export interface SignedLinks {
  /** The link for that subject. */
  urlFor(subject: string): string;
  /** The subject, when the signature is ours. */
  subjectOf(subject: string, signature: string): string | undefined;
}

export interface SignedLinkOptions {
  /** At least 32 characters. Whoever has it can make links; when it changes, old links end. */
  readonly secret: string;
  /** Origin under which recipients reach this server. Asked for each link, since it can follow the port listened on. */
  readonly publicUrl: () => string;
  /** Such as `/unsubscribe`. */
  readonly path: string;
  /** The name of the subject in the query. */
  readonly parameter: string;
  /** A link for one purpose is none for another. */
  readonly purpose: string;
}

export function createSignedLinks({ secret, publicUrl, path, parameter, purpose }: SignedLinkOptions): SignedLinks {
  if (secret.length < 32) throw new Error('the secret that signs links is shorter than 32 characters');
  const sign = (subject: string) => createHmac('sha256', secret).update(`${purpose}\n${subject}`).digest('base64url');
  return {
    urlFor(subject) {
      const url = new URL(path, publicUrl());
      url.searchParams.set(parameter, subject);
      url.searchParams.set('signature', sign(subject));
      return url.href;
    },
    subjectOf(subject, signature) {
      // Compared as digests: equally long, in the same time whatever differs.
      return timingSafeEqual(digest(signature), digest(sign(subject))) ? subject : undefined;
    },
  };
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
