/** Amounts as Stripe writes them: whole minor units as in ISO 4217, but for the few currencies of money/chargeable.ts. */
import { providerUnits, whyNotChargeable } from '../money/chargeable.ts';
import { currencyOf, type Money, MoneyError, money } from '../money/money.ts';
import { GatewayError } from './gateway.ts';

/** @throws GatewayError `GATEWAY_REFUSED` for what no card can be charged */
export function toStripeAmount(amount: Money): number {
  const why = whyNotChargeable(amount);
  const units = providerUnits(amount.currency);
  if (why !== undefined || units === undefined) throw new GatewayError('GATEWAY_REFUSED', why ?? 'no card can be charged so much');
  return amount.minor * units;
}

/**
 * @param currency as Stripe writes it, such as `eur`
 * @throws GatewayError `GATEWAY_UNKNOWN` for what no amount of ours can have become: the answer is not to be believed
 */
export function fromStripeAmount(amount: number, currency: string): Money {
  try {
    const code = currencyOf(currency.toUpperCase());
    const minor = amount / (providerUnits(code) ?? Number.NaN);
    if (amount < 0 || !Number.isInteger(minor)) throw new MoneyError('expected whole minor units');
    return money(minor, code);
  } catch (error) {
    if (error instanceof MoneyError) {
      throw new GatewayError('GATEWAY_UNKNOWN', 'Stripe answered with an amount or a currency that cannot be read: ask again');
    }
    throw error;
  }
}
