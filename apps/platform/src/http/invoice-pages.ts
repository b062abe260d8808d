/** Where the links in mails about invoices lead: the PDF as it was issued. The signature is the proof. */
import { Hono } from 'hono';
import type { InvoiceFile } from '../invoices/stored-invoices.ts';
import type { SignedLinks } from '../signed-links.ts';
import { invoicePath } from './guards.ts';
import { html, page } from './page.ts';

export interface InvoicePagesDeps {
  readonly invoiceLinks: SignedLinks;
  readonly invoiceFile: (id: string) => Promise<InvoiceFile | undefined>;
}

export function invoicePages({ invoiceLinks, invoiceFile }: InvoicePagesDeps): Hono {
  return new Hono().get(invoicePath, async (c) => {
    const id = invoiceLinks.subjectOf(c.req.query('invoice') ?? '', c.req.query('signature') ?? '');
    const file = id === undefined ? undefined : await invoiceFile(id);
    if (file === undefined) {
      const body = html`<h1>This link is not valid</h1><div class="card">Please use the link as it stands in the mail.</div>`;
      return c.html(page({ title: 'This link is not valid', body }), 403);
    }
    return c.body(new Uint8Array(file.pdf), 200, {
      'content-type': 'application/pdf',
      'content-disposition': `inline; filename="${file.number}.pdf"`,
    });
  });
}
