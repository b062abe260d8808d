/**
 * Sets an issued invoice or credit note as a PDF: parties, dates, lines, totals, notes, on as many A4 pages as it takes. The same
 * document gives the same bytes always, since stored files are compared by their digest.
 */
import { formatMoney, money } from '../money/money.ts';
import { charactersOf, type HasCharacter, standardCharacters } from './font-characters.ts';
import { type InvoiceDocument, type InvoiceParty, invoiceNumber } from './invoice-document.ts';
import { type Cell, type Line, margin, openSheet, pageWidth, type Sheet, type Style } from './pdf-sheet.ts';
import { findUnprintable } from './printable-text.ts';

export interface InvoicePdfOptions {
  /** Default: Helvetica of the reader's, which has the characters of Windows-1252, those of Western Europe, and no others. */
  readonly fonts?: InvoiceFonts;
}

/** The bytes of two TrueType or OpenType fonts. What is used of them is put into the file. */
export interface InvoiceFonts {
  readonly regular: Uint8Array;
  readonly bold: Uint8Array;
}

/** A document that cannot be set as it should be. A name with a sign in place of a letter would be another's. */
export class InvoicePdfError extends Error {
  override readonly name = 'InvoicePdfError';
  readonly code: 'UNPRINTABLE_TEXT' | 'INVALID_FONT';
  /** Of the document, such as `buyer.name`. */
  readonly fields: readonly string[];

  constructor(code: InvoicePdfError['code'], message: string, fields: readonly string[] = [], options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.fields = fields;
  }
}

const plain: Style = { weight: 'regular', size: 9, colour: 'black' };
const strong: Style = { ...plain, weight: 'bold' };
const quiet: Style = { ...plain, size: 8, colour: 'grey' };
const heading: Style = { ...strong, size: 20 };
const partyName: Style = { ...strong, size: 11 };

const left = margin;
const width = pageWidth - 2 * margin;
/** Where the dates stand, beside the parties. */
const sideWidth = 210;
const side = left + width - sideWidth;
const gutter = 8;

const columns = [
  { head: '#', width: 24, align: 'left' },
  { head: 'Description', width: width - 24 - 62 - 88 - 42 - 92, align: 'left' },
  { head: 'Quantity', width: 62, align: 'right' },
  { head: 'Unit price', width: 88, align: 'right' },
  { head: 'VAT', width: 42, align: 'right' },
  { head: 'Net', width: 92, align: 'right' },
] as const;

/**
 * Line breaks in the text are kept; control characters and marks of direction are left out.
 *
 * @throws InvoicePdfError `UNPRINTABLE_TEXT` when the fonts lack a character, or a text is of a script that is written from right
 *   to left; `INVALID_FONT` when a font cannot be read or lacks the letters of English
 */
export async function renderInvoicePdf(document: InvoiceDocument, { fonts }: InvoicePdfOptions = {}): Promise<Buffer> {
  const fields = findUnprintable(document, fonts === undefined ? standardCharacters : charactersOfBoth(fonts));
  if (fields.length > 0) {
    throw new InvoicePdfError(
      'UNPRINTABLE_TEXT',
      `the fonts cannot print ${fields.slice(0, 10).join(', ')}: give some that can as the option "fonts"`,
      fields,
    );
  }
  const title = `${document.kind === 'invoice' ? 'Invoice' : 'Credit note'} ${invoiceNumber(document)}`;
  const sheet = openSheet({
    fonts: fonts ?? { regular: 'Helvetica', bold: 'Helvetica-Bold' },
    title,
    createdAt: new Date(`${document.issuedOn}T00:00:00Z`),
  });
  setParties(sheet, document);
  setLines(sheet, document);
  setTotals(sheet, document);
  setNotes(sheet, document);
  return await sheet.finish((page, pages) => [
    { x: left, width: width / 2, lines: sheet.lines(title, width / 2, quiet) },
    { x: left + width / 2, width: width / 2, align: 'right', lines: sheet.lines(`Page ${page} of ${pages}`, width / 2, quiet) },
  ]);
}

function charactersOfBoth({ regular, bold }: InvoiceFonts): HasCharacter {
  const [one, other] = [charactersOfFont('regular', regular), charactersOfFont('bold', bold)];
  return (codePoint) => one(codePoint) && other(codePoint);
}

function charactersOfFont(name: string, font: Uint8Array): HasCharacter {
  try {
    const has = charactersOf(font);
    // What we write ourselves: space to tilde.
    for (let codePoint = 0x20; codePoint <= 0x7e; codePoint += 1) {
      if (!has(codePoint)) throw new RangeError('the font lacks letters of ASCII');
    }
    return has;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new InvoicePdfError('INVALID_FONT', `fonts.${name}: expected a TrueType or OpenType font that has the letters of English`, [], {
      cause: error,
    });
  }
}

function setParties(sheet: Sheet, document: InvoiceDocument): void {
  const { kind, seller, buyer } = document;
  const partyWidth = width - sideWidth - 3 * gutter;
  sheet.row([
    { x: left, width: partyWidth, lines: partyLines(sheet, seller, partyWidth) },
    { x: side, width: sideWidth, lines: sheet.lines(kind === 'invoice' ? 'Invoice' : 'Credit note', sideWidth, heading) },
  ]);
  sheet.gap(28);
  const to = sheet.lines(kind === 'invoice' ? 'Bill to' : 'Credit to', partyWidth, quiet);
  sheet.row([{ x: left, width: partyWidth, lines: [...to, ...partyLines(sheet, buyer, partyWidth)] }, ...factCells(sheet, document)]);
  sheet.gap(28);
}

function partyLines(sheet: Sheet, { name, address, country, vatId }: InvoiceParty, width: number): readonly Line[] {
  const below = [...address, country, ...(vatId === undefined ? [] : [`VAT id ${vatId}`])];
  return [...sheet.lines(name, width, partyName), ...below.flatMap((text) => sheet.lines(text, width, plain))];
}

/** Names on the left, what they are on the right; below a long one the left stays empty. */
function factCells(sheet: Sheet, document: InvoiceDocument): readonly Cell[] {
  const { issuedOn, supplyOn, dueOn, paidOn, orderId, paymentReference, corrects } = document;
  const facts: readonly (readonly [string, string | undefined])[] = [
    ['Number', invoiceNumber(document)],
    ['Corrects invoice', corrects],
    ['Issued on', issuedOn],
    ['Supplied on', supplyOn],
    ['Due on', dueOn],
    ['Paid on', paidOn],
    ['Order', String(orderId)],
    ['Payment reference', paymentReference],
  ];
  const nameWidth = 92;
  const names: Line[] = [];
  const values: Line[] = [];
  for (const [name, value] of facts) {
    if (value === undefined) continue;
    const lines = sheet.lines(value, sideWidth - nameWidth, plain);
    names.push(...lines.map((_, index) => ({ text: index === 0 ? name : '', style: { ...plain, colour: 'grey' as const } })));
    values.push(...lines);
  }
  return [
    { x: side, width: nameWidth, lines: names },
    { x: side + nameWidth, width: sideWidth - nameWidth, lines: values },
  ];
}

function setLines(sheet: Sheet, document: InvoiceDocument): void {
  const { kind, lines, currency } = document;
  const setHead = () => {
    setTableRow(
      sheet,
      columns.map(({ head }) => head),
      strong,
    );
    sheet.rule();
    sheet.gap(5);
  };
  // A head is not left alone at the foot of a page.
  sheet.need(60);
  setHead();
  sheet.repeat(setHead);
  for (const [index, { description, quantity, unitPriceMinor, taxRate, netMinor }] of lines.entries()) {
    const texts = [
      String(index + 1),
      description,
      // So that quantity times price is the amount on a credit note too.
      decimalText(kind === 'invoice' ? quantity : -quantity, 3),
      formatMoney(money(unitPriceMinor, currency)),
      percentText(taxRate),
      formatMoney(money(netMinor, currency)),
    ];
    setTableRow(sheet, texts, plain);
    sheet.rule();
    sheet.gap(5);
  }
  sheet.repeat(undefined);
}

function setTableRow(sheet: Sheet, texts: readonly string[], style: Style): void {
  let x = left;
  const cells = columns.map(({ width, align }, index): Cell => {
    const inner = width - (index === columns.length - 1 ? 0 : gutter);
    const cell: Cell = { x, width: inner, align, lines: sheet.lines(texts[index] ?? '', inner, style) };
    x += width;
    return cell;
  });
  sheet.row(cells);
  sheet.gap(4);
}

function setTotals(sheet: Sheet, { totals, currency }: InvoiceDocument): void {
  const format = (minor: number) => formatMoney(money(minor, currency));
  const amountWidth = 110;
  const nameWidth = 230;
  const x = left + width - amountWidth - nameWidth;
  const setTotal = (name: string, minor: number, style: Style) => {
    sheet.row([
      { x, width: nameWidth, align: 'right', lines: sheet.lines(name, nameWidth, style) },
      { x: x + nameWidth, width: amountWidth, align: 'right', lines: sheet.lines(format(minor), amountWidth, style) },
    ]);
    sheet.gap(3);
  };
  sheet.gap(6);
  // Together on one page, as long as it is the few rates that there usually are.
  sheet.need(20 * (Math.min(totals.taxes.length, 10) + 2));
  setTotal('Net', totals.netMinor, plain);
  for (const { rate, baseMinor, taxMinor } of totals.taxes) setTotal(`VAT ${percentText(rate)} on ${format(baseMinor)}`, taxMinor, plain);
  sheet.gap(2);
  setTotal('Total', totals.grossMinor, { ...strong, size: 11 });
}

function setNotes(sheet: Sheet, { notes }: InvoiceDocument): void {
  sheet.gap(14);
  for (const note of notes) {
    sheet.row([{ x: left, width, lines: sheet.lines(note, width, plain) }]);
    sheet.gap(6);
  }
}

/** Such as `1,234.5` of 1,234,500 with three digits behind the point. */
function decimalText(value: number, digits: number): string {
  const [whole = '', fraction = ''] = (Math.abs(value) / 10 ** digits).toFixed(digits).split('.');
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ',');
  const shown = fraction.replace(/0+$/, '');
  return `${value < 0 ? '-' : ''}${grouped}${shown === '' ? '' : `.${shown}`}`;
}

/** Such as `19%` or `8.25%`. */
function percentText(basisPoints: number): string {
  return `${decimalText(basisPoints, 2)}%`;
}
