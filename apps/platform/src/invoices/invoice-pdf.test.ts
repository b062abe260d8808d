import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { draft as usual } from '../../test/invoice.ts';
import { readPdf, textsOf } from '../../test/pdf-text.ts';
import { ascii, makeFont } from '../../test/tiny-font.ts';
import { composeInvoice, type InvoiceDraft } from './invoice-document.ts';
import { InvoicePdfError, type InvoicePdfOptions, renderInvoicePdf } from './invoice-pdf.ts';
import { reverseChargeNote } from './tax.ts';

const draft: InvoiceDraft = {
  ...usual,
  buyer: { ...usual.buyer, name: 'Ann & Co' },
  lines: [
    { description: 'Bracket', quantity: 1_234_500, unitPriceMinor: 5_000, taxRate: 1_900 },
    { description: 'Handbook', quantity: 1_000, unitPriceMinor: 1_000, taxRate: 825 },
  ],
  notes: ['Prices are in €.'],
};

const bracket = { description: 'Bracket', quantity: 1_000, unitPriceMinor: 5_000, taxRate: 1_900 };

const { dueOn: _, ...undated } = draft;
const creditNote: InvoiceDraft = { ...undated, kind: 'credit_note', number: 8, corrects: 'TL-2026-000007' };

const render = async (draft: InvoiceDraft, options?: InvoicePdfOptions) => await renderInvoicePdf(composeInvoice(draft), options);

async function read(draft: InvoiceDraft, options?: InvoicePdfOptions) {
  const { pages, info } = readPdf(await render(draft, options));
  // Nothing is set outside the margins of an A4 page.
  for (const { x, y } of pages.flat()) expect(x >= 47.9 && x < 548 && y > 25 && y < 842 - 48).toBe(true);
  return { pages: pages.map(textsOf), info };
}

const heads = ['#', 'Description', 'Quantity', 'Unit price', 'VAT', 'Net', 'Invoice TL-2026-000007'];

/** What stands in the column of the descriptions and what elsewhere, without what stands on each page. */
function columnOf(file: Buffer) {
  const lines = readPdf(file)
    .pages.flat()
    .filter(({ text }) => !heads.includes(text) && !/^Page \d+ of \d+$/.test(text));
  const isInside = ({ x }: { readonly x: number }) => Math.abs(x - 72) < 0.1;
  return { inside: textsOf(lines.filter(isInside)), outside: textsOf(lines.filter((line) => !isInside(line))) };
}

/** The lines of a description, put together again. */
const withoutBlanks = (texts: readonly string[]) => texts.join('').replace(/\s/g, '');

async function errorOf(promise: Promise<unknown>): Promise<InvoicePdfError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof InvoicePdfError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

const greek = 'Ελληνική Εταιρεία';
const cyrillic = 'Общество «Ёж»';
const czech = 'Žluťoučký kůň';
const letters = `${ascii}${greek}${cyrillic}${czech}Łódź€`;

describe('an invoice as a PDF', () => {
  it('shows all that is on it', async () => {
    const { pages } = await read(draft);
    expect(pages).toEqual([
      [
        ...['Taktline GmbH', 'Werkstraße 12', '10115 Berlin', 'DE', 'VAT id DE123456789', 'Invoice'],
        ...['Bill to', 'Ann & Co', '12, rue de l’Église', '75001 Paris', 'FR', 'VAT id FRXX999999999'],
        ...['Number', 'Issued on', 'Supplied on', 'Due on', 'Order', 'Payment reference'],
        ...['TL-2026-000007', '2026-11-28', '2026-11-27', '2026-12-12', '456', 'TL-456'],
        ...['#', 'Description', 'Quantity', 'Unit price', 'VAT', 'Net'],
        ...['1', 'Bracket', '1,234.5', '50.00 EUR', '19%', '61,725.00 EUR'],
        ...['2', 'Handbook', '1', '10.00 EUR', '8.25%', '10.00 EUR'],
        ...['Net', '61,735.00 EUR', 'VAT 8.25% on 10.00 EUR', '0.83 EUR', 'VAT 19% on 61,725.00 EUR', '11,727.75 EUR'],
        ...['Total', '73,463.58 EUR', 'Prices are in €.'],
        ...['Invoice TL-2026-000007', 'Page 1 of 1'],
      ],
    ]);
  });

  it('that is a credit note says what it corrects, and has negative amounts that still multiply', async () => {
    const [page = []] = (await read(creditNote)).pages;
    expect(page).toEqual(expect.arrayContaining(['Credit note', 'Credit to', 'Corrects invoice', 'TL-2026-000007', 'TL-2026-000008']));
    expect(page).toEqual(
      expect.arrayContaining(['-1,234.5', '50.00 EUR', '-61,725.00 EUR', '-73,463.58 EUR', 'Credit note TL-2026-000008']),
    );
    expect(page).not.toContain('Due on');
  });

  it('of reverse charge has the note and no tax', async () => {
    const [page = []] = (await read({ ...draft, reverseCharge: true })).pages;
    expect(page).toEqual(expect.arrayContaining([reverseChargeNote, 'VAT 0% on 61,735.00 EUR', '0.00 EUR']));
    expect(page.filter((text) => text === '61,735.00 EUR')).toHaveLength(2);
  });

  it('leaves out what there is not', async () => {
    const { paymentReference: _, ...rest } = draft;
    const { vatId: __, ...buyer } = draft.buyer;
    const [page = []] = (await read({ ...rest, buyer, notes: [] })).pages;
    expect(page).not.toContain('Payment reference');
    expect(page.filter((text) => text.startsWith('VAT id'))).toEqual(['VAT id DE123456789']);
  });

  it.each([
    ['JPY', '50,000 JPY'],
    ['KWD', '50.000 KWD'],
  ])('shows amounts of %s with its digits', async (currency, price) => {
    const lines = [{ ...bracket, unitPriceMinor: 50_000 }];
    expect((await read({ ...draft, currency, lines })).pages[0]).toContain(price);
  });

  it('has the same bytes each time, dated by the day of issue', async () => {
    const first = await render(draft);
    expect((await render(draft)).equals(first)).toBe(true);
    expect((await render({ ...draft, number: 9 })).equals(first)).toBe(false);
    const { info } = readPdf(first);
    expect(Object.fromEntries(info)).toMatchObject({
      Title: 'Invoice TL-2026-000007',
      Creator: 'Taktline',
      CreationDate: 'D:20261128000000Z',
    });
  });

  it('has the same bytes however many are made at once', async () => {
    const drafts = [draft, creditNote, { ...draft, notes: ['Another.'] }];
    const alone: Buffer[] = [];
    for (const each of drafts) alone.push(await render(each));
    const atOnce = await Promise.all(drafts.map((each) => render(each)));
    expect(atOnce.map((file, index) => file.equals(alone[index] ?? Buffer.alloc(0)))).toEqual([true, true, true]);
  });
});

describe('pages', () => {
  it('follow one another, with the head of the table on each and no line lost', async () => {
    const lines = Array.from({ length: 500 }, (_, index) => ({ ...bracket, description: `Part no. ${index + 1}` }));
    const { pages } = await read({ ...draft, lines });
    expect(pages.length).toBeGreaterThan(10);
    for (const [index, page] of pages.entries()) {
      expect(page.slice(-2)).toEqual(['Invoice TL-2026-000007', `Page ${index + 1} of ${pages.length}`]);
      if (index > 0 && page.some((text) => text.startsWith('Part no.'))) expect(page.slice(0, 2)).toEqual(['#', 'Description']);
    }
    expect(pages.flat().filter((text) => text.startsWith('Part no.'))).toEqual(lines.map(({ description }) => description));
    expect(pages.at(-1)).toContain('Total');
  });

  it('keep a row together', async () => {
    const description = Array.from({ length: 6 }, (_, index) => `row ${index}`).join('\n');
    const { pages } = await read({ ...draft, lines: Array.from({ length: 40 }, () => ({ ...bracket, description })) });
    expect(pages.length).toBeGreaterThan(3);
    for (const page of pages) {
      const count = (text: string) => page.filter((other) => other === text).length;
      expect(count('row 5')).toBe(count('row 0'));
    }
  });

  it('keep the totals together, and a head of a table with its first line', async () => {
    const counts = Array.from({ length: 25 }, (_, index) => index + 10);
    const ends = await Promise.all(
      counts.map(async (count) => {
        const { pages } = await read({ ...draft, lines: Array.from({ length: count }, () => bracket) });
        const isTotal = (text: string) => text === 'Total' || text.startsWith('VAT 19% on');
        expect(pages.filter((page) => page.some(isTotal))).toHaveLength(1);
        return pages.length;
      }),
    );
    const heads = await Promise.all(
      counts.map(async (count) => {
        const buyer = { ...draft.buyer, name: 'Ann\n'.repeat(count + 10) };
        const { pages } = await read({ ...draft, buyer });
        const page = pages.find((texts) => texts.includes('Description')) ?? [];
        expect(page).toContain('Bracket');
        return pages.indexOf(page);
      }),
    );
    // Both have come to a page's end on the way.
    expect(new Set(ends)).toEqual(new Set([1, 2]));
    expect(new Set(heads)).toEqual(new Set([0, 1]));
  });

  it('divide a row that is higher than one', async () => {
    const description = Array.from({ length: 200 }, (_, index) => `step ${index}`).join('\n');
    const { pages } = await read({ ...draft, lines: [{ ...bracket, description }] });
    expect(pages.flat().filter((text) => text.startsWith('step '))).toEqual(description.split('\n'));
    for (const page of pages.slice(1)) expect(page[1]).toBe('Description');
  });

  it('hold the longest parties, notes and sums that there may be', async () => {
    const party = { name: 'W'.repeat(500), address: Array.from({ length: 6 }, () => 'W'.repeat(200)), country: 'DE', vatId: 'DE123456789' };
    const { pages } = await read({
      ...draft,
      seller: party,
      buyer: party,
      paymentReference: 'W'.repeat(100),
      notes: Array.from({ length: 20 }, () => 'note '.repeat(500)),
      lines: Array.from({ length: 300 }, (_, index) => ({ ...bracket, quantity: 1_000_000_000, unitPriceMinor: 99, taxRate: index })),
    });
    const texts = pages.flat();
    expect(texts.filter((text) => /^W+$/.test(text)).join('')).toHaveLength(2 * (500 + 6 * 200) + 100);
    expect(texts.filter((text) => /^VAT [\d.]+% on /.test(text))).toHaveLength(300);
    expect(withoutBlanks(texts.filter((text) => text.startsWith('note')))).toHaveLength(20 * 500 * 4);
    // Below the table its head is not repeated.
    for (const page of pages.slice(pages.findIndex((page) => page.includes('Total')) + 1)) expect(page).not.toContain('Description');
  });
});

describe('text of people', () => {
  it.each([
    ['parentheses and backslashes', '(((\\)) \\( \\n \\051 ) Tj ET Q', '(((\\)) \\( \\n \\051 ) Tj ET Q'],
    ['operators of PDF', '<</S/JavaScript>> endstream endobj %%EOF', '<</S/JavaScript>> endstream endobj %%EOF'],
    ['control characters', 'a\u0001b\tc\u0007d\u001b[31m\u0085e\u009bf', 'abcd[31mef'],
    ['marks of direction', '\u202eabc\u202c\u200f\u2067def\u2069\u200e', 'abcdef'],
    ['blanks of all kinds', 'a\u00a0b\u2003c\u200bd\ufeffe\u00adf', 'abcdef'],
    ['10,000 characters without a blank', 'W'.repeat(10_000), 'W'.repeat(10_000)],
    ['10,000 characters with blanks', 'ab '.repeat(3_333), 'ab'.repeat(3_333)],
    ['5,000 lines', 'x\n'.repeat(5_000), 'x'.repeat(5_000)],
    ['templates and formats', '{{x}} ${x} %s <b>', '{{x}} ${x} %s <b>'],
  ])('cannot break the file: %s', async (_, description, shown) => {
    const [plain, full] = await Promise.all([
      render({ ...draft, lines: [bracket] }),
      render({ ...draft, lines: [{ ...bracket, description }] }),
    ]);
    expect(withoutBlanks(columnOf(full).inside)).toBe(withoutBlanks([shown]));
    expect(columnOf(full).outside).toEqual(columnOf(plain).outside);
  });

  it('cannot break the file anywhere, whatever it is', async () => {
    const unit = fc.constantFrom(...'aZ0()\\<>[]{}/%\'" é€\n\r\t\u0001\u0085\u00a0\u200f\u202e\u2028\ufeff');
    const text = fc.string({ unit, maxLength: 90 }).map((value) => `x${value}`);
    await fc.assert(
      fc.asyncProperty(text, text, text, async (name, description, note) => {
        const party = { ...draft.seller, name, address: [name] };
        const { pages } = await read({
          ...draft,
          seller: party,
          buyer: party,
          paymentReference: name,
          notes: [note],
          lines: [{ ...bracket, description }],
        });
        expect(pages.flat().at(-1)).toBe(`Page ${pages.length} of ${pages.length}`);
      }),
      { numRuns: 40 },
    );
  });
});

describe('fonts', () => {
  it('of the reader print Western Europe: all of Windows-1252', async () => {
    const all = Array.from({ length: 0xff - 0xa0 }, (_, index) => String.fromCharCode(0xa1 + index))
      .join('')
      .replace('\u00ad', '');
    const notes = [`${all} €‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ`];
    expect(withoutBlanks((await read({ ...draft, notes })).pages.flat())).toContain(withoutBlanks(notes));
  });

  it.each([greek, cyrillic, czech])('of the reader cannot print %s, which is an error and no question mark', async (name) => {
    const error = await errorOf(render({ ...draft, buyer: { ...draft.buyer, name, address: ['Ulice 1', name] }, notes: ['fine', name] }));
    expect(error).toMatchObject({ code: 'UNPRINTABLE_TEXT', fields: ['buyer.name', 'buyer.address.1', 'notes.1'] });
    expect(error.message).toContain('buyer.name, buyer.address.1, notes.1');
    expect(error.message).not.toContain(name);
  });

  it.each([4, 12] as const)('that are given print what they have, with a table of format %i', async (format) => {
    const fonts = { regular: makeFont(letters, format), bold: makeFont(letters, format) };
    const wanted = {
      ...draft,
      seller: { ...draft.seller, name: greek },
      buyer: { ...draft.buyer, name: cyrillic },
      notes: [`${czech} Łódź €`],
    };
    const local = {
      ...wanted,
      seller: { ...wanted.seller, address: ['10115 Berlin'] },
      buyer: { ...wanted.buyer, address: ['75001 Paris'] },
    };
    const [page = []] = (await read(local, { fonts })).pages;
    expect(page).toEqual(expect.arrayContaining([greek, cyrillic, `${czech} Łódź €`, '73,463.58 EUR']));
    expect((await render(local, { fonts })).equals(await render(local, { fonts }))).toBe(true);
  });

  it('that are given both have to have a character', async () => {
    const lines = [{ ...bracket, description: 'Łódź' }];
    const parties = { seller: { ...draft.seller, address: ['Berlin'] }, buyer: { ...draft.buyer, address: ['Paris'] } };
    const fonts = { regular: makeFont(letters), bold: makeFont(`${ascii}€`) };
    const error = await errorOf(render({ ...draft, ...parties, lines }, { fonts }));
    expect(error).toMatchObject({ code: 'UNPRINTABLE_TEXT', fields: ['lines.0.description'] });
  });

  it.each([
    ['regular', { regular: Buffer.from('no font'), bold: makeFont(ascii) }],
    ['bold', { regular: makeFont(letters), bold: new Uint8Array() }],
    // Our own words need them.
    ['bold', { regular: makeFont(letters), bold: makeFont(letters.replace('V', '')) }],
  ])('that are none are refused by name: %s', async (name, fonts) => {
    const error = await errorOf(render(draft, { fonts }));
    expect(error.code).toBe('INVALID_FONT');
    expect(error.message).toContain(`fonts.${name}`);
  });
});
