/**
 * Which tax a sale of made parts bears: by where seller and buyer are, and by whether they have VAT ids. Rates are the standard
 * ones of October 2026, from the European Commission's Taxes in Europe Database and the tax offices of the other countries.
 *
 *   domestic         the same country: its rate
 *   reverse_charge   two countries of the EU, both with a checked VAT id: the buyer owes the tax (Directive 2006/112/EC, articles 44 and 196)
 *   destination      two countries of the EU, the buyer without one: the rate of the buyer's (one-stop shop)
 *   export           anything else: none (article 146, and its like elsewhere)
 *
 * A tax adviser has to look at this before it is used for real sales.
 */
import type { TaxRule } from '../database/marketplace-tables.ts';
import { vatIdPattern } from './tax.ts';

export interface TaxParty {
  /** ISO 3166-1. */
  readonly country: string;
  /** Only one that was checked. */
  readonly vatId: string | undefined;
}

export interface TaxRuling {
  readonly rule: TaxRule;
  /** Hundredths of a percent. */
  readonly rate: number;
}

/** A sale within a country whose rate is not known here. */
export class TaxRuleError extends Error {
  override readonly name = 'TaxRuleError';
  readonly code = 'RATE_UNKNOWN';
}

/** Of the member states; Greece's VAT ids begin with EL. */
const rates = {
  AT: 2_000,
  BE: 2_100,
  BG: 2_000,
  CY: 1_900,
  CZ: 2_100,
  DE: 1_900,
  DK: 2_500,
  EE: 2_400,
  ES: 2_100,
  FI: 2_550,
  FR: 2_000,
  GR: 2_400,
  HR: 2_500,
  HU: 2_700,
  IE: 2_300,
  IT: 2_200,
  LT: 2_100,
  LU: 1_700,
  LV: 2_100,
  MT: 1_800,
  NL: 2_100,
  PL: 2_300,
  PT: 2_300,
  RO: 2_100,
  SE: 2_500,
  SI: 2_200,
  SK: 2_300,
} as const;

const memberRates: ReadonlyMap<string, number> = new Map(Object.entries(rates));

/** Of the United States it is 0: what the states have is a tax on sales to consumers. */
const otherRates: ReadonlyMap<string, number> = new Map([
  ['CH', 810],
  ['GB', 2_000],
  ['JP', 1_000],
  ['NO', 2_500],
  ['US', 0],
]);

/**
 * @throws TaxRuleError `RATE_UNKNOWN`
 * @example taxRuling({ country: 'DE', vatId: 'DE123456789' }, { country: 'FR', vatId: undefined }) // { rule: 'destination', rate: 2000 }
 */
export function taxRuling(seller: TaxParty, buyer: TaxParty): TaxRuling {
  if (seller.country === buyer.country) return { rule: 'domestic', rate: rateIn(seller.country) };
  if (!memberRates.has(seller.country) || !memberRates.has(buyer.country)) return { rule: 'export', rate: 0 };
  if (hasId(seller) && hasId(buyer)) return { rule: 'reverse_charge', rate: 0 };
  return { rule: 'destination', rate: rateIn(buyer.country) };
}

/** What has to stand on an invoice beside the note on reverse charge. */
export function noteOf({ rule }: Pick<TaxRuling, 'rule'>): string | undefined {
  return rule === 'export' ? 'Export: no VAT is charged.' : undefined;
}

function rateIn(country: string): number {
  const rate = memberRates.get(country) ?? otherRates.get(country);
  if (rate === undefined) throw new TaxRuleError('the rate of VAT for a sale within this country is not known: add it to tax-rules.ts');
  return rate;
}

function hasId({ country, vatId }: TaxParty): boolean {
  return vatId !== undefined && isIdOf(country, vatId);
}

/** Whether it has the form of one of that country's. */
export function isIdOf(country: string, vatId: string): boolean {
  return vatIdPattern.test(vatId) && vatId.startsWith(country === 'GR' ? 'EL' : country);
}
