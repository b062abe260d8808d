/** The links by which recipients end a subscription (RFC 8058). A link names the record of the mail that it came with. */
import { createSignedLinks, type SignedLinkOptions, type SignedLinks } from '../signed-links.ts';

export type UnsubscribeLinks = SignedLinks;

export function createUnsubscribeLinks(options: Pick<SignedLinkOptions, 'secret' | 'publicUrl'>): UnsubscribeLinks {
  return createSignedLinks({ ...options, path: '/unsubscribe', parameter: 'mail', purpose: 'taktline unsubscribe 1' });
}
