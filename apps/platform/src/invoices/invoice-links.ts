/** The links by which buyers open their invoices and credit notes, without an account. */
import { createSignedLinks, type SignedLinkOptions, type SignedLinks } from '../signed-links.ts';

export function createInvoiceLinks(options: Pick<SignedLinkOptions, 'secret' | 'publicUrl'>): SignedLinks {
  return createSignedLinks({ ...options, path: '/invoices', parameter: 'invoice', purpose: 'taktline invoice 1' });
}
