/** What buyers, manufacturers and the staff hear about money. */
import { actsFor, staffUsers } from '../accounts/acting-user.ts';
import { dayForPeople, type MailPeople } from '../email/mail-people.ts';
import { invoiceNumber } from '../invoices/invoice-document.ts';
import { formatMoney, type Money, money } from '../money/money.ts';
import { amountDue } from '../orders/award.ts';
import type { SignedLinks } from '../signed-links.ts';
import type { PaymentMails } from './payment-tasks.ts';
import { type Payment, referenceOf } from './payments.ts';

/** Money takes so long to come back to a card. */
const refundDays = 10;
const dayMs = 86_400_000;

/** Of declines that a buyer can do something about. Whatever else a provider says is not for him. */
const reasons = new Map([
  ['insufficient_funds', 'there is not enough money on the card'],
  ['expired_card', 'the card has expired'],
  ['authentication_required', 'the bank wants the payment to be confirmed'],
]);

export interface PaymentMailOptions {
  /** Where a day begins. */
  readonly zone: string;
  /** Which day it is, in milliseconds since the Unix epoch. */
  readonly now: () => number;
  /** Where the buyer opens an invoice. Default: the mails have no link. */
  readonly invoiceLinks?: Pick<SignedLinks, 'urlFor'> | undefined;
}

export function paymentMails(mail: MailPeople, { zone, now, invoiceLinks }: PaymentMailOptions): PaymentMails {
  const today = (): string => dayForPeople(zone, new Date(now()));
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
          payment_reference: referenceOf(payment),
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
    declined: (transaction, payment, order, occasion) => {
      const shared = { order_id: order.id, amount: formatMoney(amountOf(payment)), reason: reasons.get(payment.decline_code ?? '') };
      const id = `payment-declined:${payment.id}:${occasion}`;
      return payment.retry_at === null
        ? mail(transaction, { id, user: payment.user_id, template: 'payment_final_failed', context: shared })
        : mail(transaction, {
            id,
            user: payment.user_id,
            template: 'payment_failed',
            context: { ...shared, next_try_on: dayForPeople(zone, payment.retry_at) },
          });
    },
    disputed: async (transaction, dispute, order) => {
      const maker = order.manufacturer_id === null ? [] : [await actsFor(transaction, order.manufacturer_id)];
      for (const user of [order.buyer_id, ...maker, ...(await staffUsers(transaction))]) {
        await mail(transaction, {
          id: `payment-dispute:${dispute.id}:${user}`,
          user,
          template: 'dispute_opened',
          context: { order_id: order.id, amount: formatMoney(money(dispute.amount_minor, dispute.currency)) },
        });
      }
    },
    lost: async (transaction, payment, order) => {
      const amount = formatMoney(amountOf(payment));
      await mail(transaction, {
        id: `payment-lapsed:${payment.id}:${payment.user_id}`,
        user: payment.user_id,
        template: 'payment_lapsed',
        context: { order_id: order.id, amount },
      });
      for (const user of await staffUsers(transaction)) {
        await mail(transaction, {
          id: `payment-lapsed:${payment.id}:${user}`,
          user,
          template: 'order_status',
          context: {
            order_id: order.id,
            status: 'on hold',
            note: `The ${amount} that were reserved for it have lapsed. The buyer is asked to pay again.`,
          },
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
          arrives_by: dayForPeople(zone, new Date(now() + refundDays * dayMs)),
          refund_reference: `refund-${refund.id}`,
        },
      }),
    issued: (transaction, { id, document, reason }, order) => {
      const number = invoiceNumber(document);
      const url = invoiceLinks?.urlFor(String(id));
      const shared = { order_id: order.id, amount: formatMoney(money(Math.abs(document.totals.grossMinor), document.currency)) };
      return mail(transaction, {
        id: `invoice:${id}`,
        user: order.buyer_id,
        ...(document.kind === 'invoice'
          ? {
              template: 'invoice_issued' as const,
              context: { ...shared, invoice_number: number, payment_reference: document.paymentReference, invoice_url: url },
            }
          : {
              template: 'credit_note_issued' as const,
              context: { ...shared, credit_note_number: number, invoice_number: document.corrects, reason, credit_note_url: url },
            }),
      });
    },
    due: async (transaction, order, id) => {
      const payment =
        id === undefined
          ? undefined
          : await transaction.selectFrom('payments').select('action_url').where('id', '=', id).executeTakeFirstOrThrow();
      await mail(transaction, {
        id: id === undefined ? `payment-reminder:order:${order.id}` : `payment-reminder:${id}`,
        user: order.buyer_id,
        template: 'payment_reminder',
        context: {
          order_id: order.id,
          amount: formatMoney(amountDue(order) ?? money(0, order.currency)),
          due_on: order.deadline === null ? today() : dayForPeople(zone, order.deadline),
          payment_url: payment?.action_url ?? undefined,
        },
      });
    },
    paidOut: async (transaction, { amount, fee, reference }, order) => {
      if (order.manufacturer_id === null || reference === undefined) return;
      await mail(transaction, {
        id: reference,
        user: await actsFor(transaction, order.manufacturer_id),
        template: 'payout_sent',
        context: {
          order_id: order.id,
          amount: formatMoney(amount),
          fee: formatMoney(fee),
          sent_on: today(),
          payout_reference: reference.replaceAll(':', '-'),
        },
      });
    },
  };
}
