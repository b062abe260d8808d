/** The forms in which Stripe is asked, and the pages in which it lists. What is wrong is refused as Stripe refuses it. */
import { StripeFault } from './sandbox-payments.ts';
import { fromStripeAmount } from './stripe-amounts.ts';

export interface Form {
  readonly params: URLSearchParams;
}

/** Stripe's limits of a page. */
const page = { usual: 10, largest: 100 };

/** @throws StripeFault for a field that is not among these. Elements of lists have no number here, such as `expand[]` */
export function allow({ params }: Form, fields: readonly string[]): void {
  for (const name of params.keys()) {
    if (!fields.includes(name.replace(/\[\d+\]$/, '[]'))) throw new StripeFault(400, { code: 'parameter_unknown', param: name });
  }
}

/** @throws StripeFault when it is missing or empty */
export function required({ params }: Form, name: string): string {
  const value = params.get(name);
  if (value === null) throw new StripeFault(400, { code: 'parameter_missing', param: name });
  if (value === '') throw new StripeFault(400, { code: 'parameter_invalid_empty', param: name });
  return value;
}

/** @throws StripeFault unless it is a whole number from 1 */
export function amountOf(form: Form, name: string): number {
  const amount = Number(required(form, name));
  if (!Number.isSafeInteger(amount)) throw new StripeFault(400, { code: 'parameter_invalid_integer', param: name });
  if (amount < 1) throw new StripeFault(400, { code: 'amount_too_small', param: name });
  return amount;
}

/** @throws StripeFault unless it is a known currency in small letters */
export function currencyIn(form: Form): string {
  const currency = required(form, 'currency');
  try {
    if (currency === currency.toLowerCase() && fromStripeAmount(0, currency).minor === 0) return currency;
  } catch {
    // It is none, as are capitals.
  }
  throw new StripeFault(400, { param: 'currency', message: `Invalid currency: ${currency}` });
}

/** undefined when it is not given. @throws StripeFault unless it is a whole number from 0 */
export function numberOf({ params }: Form, name: string): number | undefined {
  const value = params.get(name);
  if (value === null) return undefined;
  if (!/^\d{1,12}$/.test(value)) throw new StripeFault(400, { code: 'parameter_invalid_integer', param: name });
  return Number(value);
}

/** The elements of a list, as `name[0]` or `name[]`. */
export function valuesOf({ params }: Form, name: string): readonly string[] {
  return [...params].flatMap(([key, value]) => (key.startsWith(`${name}[`) ? [value] : []));
}

/** @param rows the newest first. @throws StripeFault for a size out of bounds, or a place that is not among the rows */
export function listOf<Row extends { readonly id: string }>(form: Form, rows: readonly Row[], show: (row: Row) => object) {
  const size = numberOf(form, 'limit') ?? page.usual;
  if (size < 1 || size > page.largest) throw new StripeFault(400, { code: 'parameter_invalid_integer', param: 'limit' });
  const after = form.params.get('starting_after');
  const place = after === null ? -1 : rows.findIndex(({ id }) => id === after);
  if (after !== null && place < 0) throw new StripeFault(400, { code: 'resource_missing', param: 'starting_after' });
  const shown = rows.slice(place + 1, place + 1 + size);
  return { status: 200, body: { object: 'list', url: '/v1', has_more: place + 1 + size < rows.length, data: shown.map(show) } };
}
