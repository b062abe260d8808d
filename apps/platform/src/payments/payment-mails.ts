/** What buyers, manufacturers and the staff hear about money. */
import { dayForPeople, type MailPeople } from '../email/mail-people.ts';
import { formatMoney, type Money, money } from '../money/money.ts';
import type { Order, PlatformTransaction } from '../orders/orders.ts';
import type { PaymentMails } from './payment-tasks.ts';
import type { Payment } from './payments.ts';

/** Money takes so long to come back to a card. */
const refundDays = 10;
const dayMs = 86_400_000;

/** Of declines that a buyer can do something about. Whatever else a provider says is not for him. */
const reasons = new Map([
  ['insufficient_funds', 'there is not enough money on the card'],
  ['expired_card', 'the card has expired'],
  ['authentication_required', 'the bank wants the payment to be confirmed'],
]);

/** @param zone where a day begins */
export function paymentMails(mail: MailPeople, zone: string): PaymentMails {
  const today = (): string => dayForPeople(zone, new Date());
  const amountOf = ({ amount_minor, currency }: Payment): Money => money(amount_minor, currency);
  return {
    receipt: (transaction, payment, order) =>
      mail(transaction, {
        id: `payment-receipt:${payment.id}`,
        user: payment.user_id,
        template: 'payment_receipt',
        context: {
          order_id: order.id,
          amount: formatMoney(money(payment.captured_minor, payment.currency)),
          paid_on: today(),
          payment_reference: `payment-${payment.id}`,
        },
      }),
    actionRequired: async (transaction, payment, order) => {
      // Without a link there is nothing that the buyer could do; the provider tells him by itself then.
      if (payment.action_url === null) return;
      await mail(transaction, {
        id: `payment-action:${payment.id}:${payment.version}`,
        user: payment.user_id,
        template: 'payment_action_required',
        context: { order_id: order.id, amount: formatMoney(amountOf(payment)), action_url: payment.action_url },
      });
    },
    declined: (transaction, payment, order) => {
      const shared = { order_id: order.id, amount: formatMoney(amountOf(payment)), reason: reasons.get(payment.decline_code ?? '') };
      const id = `payment-declined:${payment.id}:${payment.retries}`;
      return payment.retry_at === null
        ? mail(transaction, { id, user: payment.user_id, template: 'payment_final_failed', context: shared })
        : mail(transaction, {
            id,
            user: payment.user_id,
            template: 'payment_failed',
            context: { ...shared, next_try_on: dayForPeople(zone, payment.retry_at) },
          });
    },
    disputed: async (transaction, payment, order) => {
      const users = await people(transaction, order);
      for (const user of [...users, ...(await staff(transaction))]) {
        await mail(transaction, {
          id: `payment-dispute:${payment.id}:${user}`,
          user,
          template: 'dispute_opened',
          context: { order_id: order.id, amount: formatMoney(amountOf(payment)) },
        });
      }
    },
    refunded: (transaction, refund, order) =>
      mail(transaction, {
        id: `refund:${refund.id}`,
        user: order.buyer_id,
        template: 'refund_sent',
        context: {
          order_id: order.id,
          amount: formatMoney(money(refund.amount_minor, refund.currency)),
          reason: refund.reason,
          arrives_by: dayForPeople(zone, new Date(Date.now() + refundDays * dayMs)),
          refund_reference: `refund-${refund.id}`,
        },
      }),
    due: async (transaction, order, payment) => {
      const { amount_minor, currency, user_id, action_url } = await transaction
        .selectFrom('payments')
        .selectAll()
        .where('id', '=', payment)
        .executeTakeFirstOrThrow();
      await mail(transaction, {
        id: `payment-reminder:${payment}`,
        user: user_id,
        template: 'payment_reminder',
        context: {
          order_id: order.id,
          amount: formatMoney(money(amount_minor, currency)),
          due_on: order.deadline === null ? today() : dayForPeople(zone, order.deadline),
          payment_url: action_url ?? undefined,
        },
      });
    },
    paidOut: async (transaction, { amount, fee }, order) => {
      const [user] = (await people(transaction, order)).slice(1);
      if (user === undefined) return;
      await mail(transaction, {
        id: `payout:${order.id}`,
        user,
        template: 'payout_sent',
        context: {
          order_id: order.id,
          amount: formatMoney(amount),
          fee: formatMoney(fee),
          sent_on: today(),
          payout_reference: `payout-${order.id}`,
        },
      });
    },
  };
}

/** The buyer, and who acts for the manufacturer, if there is one. */
async function people(transaction: PlatformTransaction, { buyer_id, manufacturer_id }: Order): Promise<readonly number[]> {
  if (manufacturer_id === null) return [buyer_id];
  const { user_id } = await transaction
    .selectFrom('manufacturers')
    .select('user_id')
    .where('id', '=', manufacturer_id)
    .executeTakeFirstOrThrow();
  return [buyer_id, user_id];
}

async function staff(transaction: PlatformTransaction): Promise<readonly number[]> {
  const users = await transaction.selectFrom('users').select('id').where('role', '=', 'staff').orderBy('id').execute();
  return users.map(({ id }) => id);
}
