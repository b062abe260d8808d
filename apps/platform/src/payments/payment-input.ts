/** What the payment tasks take. How something is paid is marked as sensitive: the engine masks it wherever a person may read it. */
import { z } from 'zod';
import { decimalOf, type Money, MoneyError, parseAmount } from '../money/money.ts';
import type { Order } from '../orders/orders.ts';

const id = z.int().min(1).max(Number.MAX_SAFE_INTEGER);

/** A provider's id of a payment method, such as `pm_123`; never a card's number. */
export const paymentMethodSchema = z
  .string()
  .regex(/^(?!\d{12,19}$)[A-Za-z0-9_-]{1,200}$/, { error: "expected the payment provider's id of a payment method, such as pm_123" });

export const processPaymentInput = z
  .strictObject({
    /** As people write it, such as 100.00; not more digits behind the point than the currency has. */
    amount: z.union([z.number(), z.string().max(20)]),
    currency: z.string().length(3),
    payment_method_id: paymentMethodSchema.meta({ sensitive: true }),
    order_id: id,
    user_id: id,
    /** Only reserve the money; `payment.capture` takes it when the order is begun. */
    authorise_only: z.boolean().default(false),
  })
  .superRefine(({ amount, currency }, context) => {
    try {
      if (parseAmount(amount, currency).minor === 0) throw new MoneyError('expected more than nothing');
    } catch (error) {
      if (!(error instanceof MoneyError)) throw error;
      context.addIssue({ code: 'custom', path: ['amount'], message: error.message });
    }
  });

export type ProcessPaymentInput = z.output<typeof processPaymentInput>;

/** An input that was checked has one. */
export function amountOf({ amount, currency }: ProcessPaymentInput): Money {
  return parseAmount(amount, currency);
}

/** What payment.process takes to reserve what is due for an order. */
export function reservation(
  { id: order, buyer_id }: Pick<Order, 'id' | 'buyer_id'>,
  due: Money,
  paymentMethod: string,
): z.input<typeof processPaymentInput> {
  return {
    amount: decimalOf(due),
    currency: due.currency,
    payment_method_id: paymentMethod,
    order_id: order,
    user_id: buyer_id,
    authorise_only: true,
  };
}

export const paymentInput = z.strictObject({ payment_id: id });
export const refundInput = z.strictObject({ refund_id: id });
export const paymentOrderInput = z.strictObject({ order_id: id });
export const batchInput = z.strictObject({
  /** Payments at most in one run. */
  limit: z.int().min(1).max(10_000).default(1_000),
});
export const reconcileInput = z.strictObject({
  /** Milliseconds since the Unix epoch; default where the last run has ended, and a day before `till` at least. */
  from: z.int().min(0).optional(),
  /** Default a quarter of an hour ago. */
  till: z.int().min(0).optional(),
});
