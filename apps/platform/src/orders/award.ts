/** What an award settles beside manufacturer and price: the tax that the buyer pays, and so what is due. */
import type { User } from '../accounts/users.ts';
import { type TaxParty, TaxRuleError, taxRuling } from '../invoices/tax-rules.ts';
import { mustBeChargeable } from '../money/chargeable.ts';
import { add, type Money, money, share } from '../money/money.ts';
import type { Order, PlatformTransaction } from './orders.ts';

export type AwardTax = Pick<Order, 'tax_rule' | 'tax_rate' | 'tax_minor' | 'seller_vat_id' | 'buyer_vat_id'> & {
  readonly tax_rule: NonNullable<Order['tax_rule']>;
};

/** @throws TaxRuleError, MoneyError when no card can be charged price and tax */
export async function taxOfAward(
  transaction: PlatformTransaction,
  { buyer_id, currency }: Pick<Order, 'buyer_id' | 'currency'>,
  manufacturer: number,
  priceMinor: number,
): Promise<AwardTax> {
  const seller = await transaction
    .selectFrom('users')
    .innerJoin('manufacturers', 'manufacturers.user_id', 'users.id')
    .select(['users.country', 'users.vat_id', 'users.vat_id_checked_at'])
    .where('manufacturers.id', '=', manufacturer)
    .executeTakeFirstOrThrow();
  const buyer = await transaction
    .selectFrom('users')
    .select(['country', 'vat_id', 'vat_id_checked_at'])
    .where('id', '=', buyer_id)
    .executeTakeFirstOrThrow();
  const { rule, rate } = taxRuling(partyOf(seller), partyOf(buyer));
  const price = money(priceMinor, currency);
  const tax = share(price, rate);
  mustBeChargeable(add(price, tax));
  return { tax_rule: rule, tax_rate: rate, tax_minor: tax.minor, seller_vat_id: seller.vat_id, buyer_vat_id: buyer.vat_id };
}

/** What the buyer pays: price and tax. undefined before there is a price. */
export function amountDue({ price_minor, tax_minor, currency }: Pick<Order, 'price_minor' | 'tax_minor' | 'currency'>): Money | undefined {
  return price_minor === null ? undefined : add(money(price_minor, currency), money(tax_minor, currency));
}

/** Whether a sale between them can be awarded: which tax it bears is known. */
export function isTaxKnown(seller: TaxParty, buyer: TaxParty): boolean {
  try {
    taxRuling(seller, buyer);
    return true;
  } catch (error) {
    if (error instanceof TaxRuleError) return false;
    throw error;
  }
}

/** A VAT id counts once it is checked. */
export function partyOf({ country, vat_id, vat_id_checked_at }: Pick<User, 'country' | 'vat_id' | 'vat_id_checked_at'>): TaxParty {
  return { country, vatId: vat_id_checked_at === null ? undefined : (vat_id ?? undefined) };
}
