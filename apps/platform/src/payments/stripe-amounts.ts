/**
 * Amounts as Stripe writes them: whole minor units as in ISO 4217, but for a few currencies. Those stand here, and nowhere else, as
 * docs.stripe.com/currencies has them. HUF and TWD need nothing: whole units are asked for in payouts only, not in charges.
 */
import { currencyOf, exponentOf, type Money, MoneyError, money } from '../money/money.ts';
import { GatewayError } from './gateway.ts';

/** Without decimals, but Stripe still takes and tells them with two, which are always 00. */
const keptAtTwoDecimals = new Set(['ISK', 'UGX']);

const noDecimals = new Set(['BIF', 'CLP', 'DJF', 'GNF', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'VND', 'VUV', 'XAF', 'XOF', 'XPF']);

/** The last of the three digits has to be 0: the card networks behind it know only two. */
const threeDecimals = new Set(['BHD', 'JOD', 'KWD', 'OMR', 'TND']);

/** Eight digits. */
const largestAmount = 99_999_999;

/** Twelve digits, for currencies of small units. */
const largestAmounts = new Map([['IDR', 999_999_999_999]]);

/**
 * @throws GatewayError `GATEWAY_REFUSED` for what Stripe cannot charge: nothing or less, more than eight digits (twelve of IDR), a
 * third decimal other than 0, and currencies that it would read with other decimals than we do
 */
export function toStripeAmount({ minor, currency }: Money): number {
  const amount = minor * factorOf(currency);
  const largest = largestAmounts.get(currency) ?? largestAmount;
  if (!Number.isSafeInteger(amount) || amount < 1 || amount > largest) {
    throw new GatewayError('GATEWAY_REFUSED', `Stripe takes whole amounts from 1 to ${largest} of ${currency}, in its units`);
  }
  if (threeDecimals.has(currency) && amount % 10 !== 0) {
    throw new GatewayError('GATEWAY_REFUSED', `Stripe takes ${currency} to the hundredth: round the amount to 10 minor units`);
  }
  return amount;
}

/**
 * @param currency as Stripe writes it, such as `eur`
 * @throws GatewayError `GATEWAY_UNKNOWN` for what no amount of ours can have become: the answer is not to be believed
 */
export function fromStripeAmount(amount: number, currency: string): Money {
  try {
    const code = currencyOf(currency.toUpperCase());
    const minor = amount / factorOf(code);
    if (amount < 0 || !Number.isInteger(minor)) throw new MoneyError('expected whole minor units');
    return money(minor, code);
  } catch (error) {
    if (error instanceof MoneyError || error instanceof GatewayError) {
      throw new GatewayError('GATEWAY_UNKNOWN', 'Stripe answered with an amount or a currency that cannot be read: ask again');
    }
    throw error;
  }
}

/** What a minor unit of ours is in Stripe's. Currencies that Stripe does not know it tells apart itself, when it is asked. */
function factorOf(currency: Money['currency']): number {
  if (keptAtTwoDecimals.has(currency)) return 100;
  const decimals = noDecimals.has(currency) ? 0 : threeDecimals.has(currency) ? 3 : 2;
  if (decimals === exponentOf(currency)) return 1;
  throw new GatewayError('GATEWAY_REFUSED', `Stripe takes no ${currency}: charge another currency`);
}
