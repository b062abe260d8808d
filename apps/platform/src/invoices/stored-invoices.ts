/** Reads invoices and credit notes as they were issued. */
import type { PlatformDatabase } from '../database/database.ts';
import { invoiceNumber } from './invoice-document.ts';

export interface InvoiceFile {
  /** As printed, such as `M12-2026-000007`. */
  readonly number: string;
  readonly pdf: Buffer;
}

/** @param id digits, as a link has them */
export async function invoiceFile(database: PlatformDatabase, id: string): Promise<InvoiceFile | undefined> {
  if (!/^\d{1,15}$/.test(id)) return undefined;
  const found = await database.selectFrom('invoices').select(['series', 'number', 'pdf']).where('id', '=', Number(id)).executeTakeFirst();
  return found && { number: invoiceNumber(found), pdf: found.pdf };
}
