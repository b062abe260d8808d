/** What buyers and manufacturers hear about orders, offers and quotes. */
import { actsFor } from '../accounts/acting-user.ts';
import { dayForPeople, type MailPeople } from '../email/mail-people.ts';
import { platformFee } from '../ledger/ledger.ts';
import { formatMoney, money, subtract } from '../money/money.ts';
import type { NonConformance } from './non-conformances.ts';
import type { Offer } from './offers.ts';
import type { OrderState } from './order-states.ts';
import type { Order, OrderChange, PlatformTransaction } from './orders.ts';
import { type Quote, roundOf } from './quotes.ts';

export type OrderMails = ReturnType<typeof orderMails>;

/** A state as a buyer reads it. */
const inWords: Readonly<Record<OrderState, string>> = {
  draft: 'a draft',
  submitted: 'received',
  sourcing: 'being placed with a manufacturer',
  quoted: 'quoted',
  awarded: 'awarded',
  payment_authorised: 'paid for, and about to be made',
  in_production: 'in production',
  inspection: 'being inspected',
  rework: 'in rework',
  shipped: 'shipped',
  delivered: 'delivered',
  closed: 'closed',
  on_hold: 'on hold',
  cancelled: 'cancelled',
  disputed: 'disputed',
};

/** Before an award an order is no manufacturer's, also where the buyer is told late. */
const buyersOnly: ReadonlySet<OrderState> = new Set<OrderState>(['draft', 'submitted', 'sourcing', 'quoted']);

/** @param zone where a day begins */
export function orderMails(mail: MailPeople, zone: string) {
  const day = (at: Date | string) => dayForPeople(zone, at);
  const part = ({ id, title, material, quantity, due_on }: Order) => ({ order_id: id, title, material, quantity, deliver_by: day(due_on) });
  return {
    async offered(transaction: PlatformTransaction, offer: Offer, order: Order): Promise<void> {
      await mail(transaction, {
        id: `offer:${offer.id}`,
        user: await actsFor(transaction, offer.manufacturer_id),
        template: 'offer_received',
        context: { ...part(order), amount: formatMoney(money(offer.price_minor, offer.currency)), respond_by: day(offer.expires_at) },
      });
    },
    async quoteRequested(transaction: PlatformTransaction, quote: Quote, order: Order): Promise<void> {
      await mail(transaction, {
        id: `quote-request:${quote.id}:${roundOf(quote)}`,
        user: await actsFor(transaction, quote.manufacturer_id),
        template: 'quote_requested',
        context: { ...part(order), respond_by: day(quote.expires_at) },
      });
    },
    async quoteReminder(transaction: PlatformTransaction, quote: Quote, order: Order): Promise<void> {
      await mail(transaction, {
        id: `quote-reminder:${quote.id}:${roundOf(quote)}`,
        user: await actsFor(transaction, quote.manufacturer_id),
        template: 'quote_reminder',
        context: { ...part(order), respond_by: day(quote.expires_at) },
      });
    },
    async notRight(
      transaction: PlatformTransaction,
      { id, quantity, cause, manufacturer_id }: NonConformance,
      order: Order,
    ): Promise<void> {
      await mail(transaction, {
        id: `non-conformance:${id}`,
        user: await actsFor(transaction, manufacturer_id),
        template: 'non_conformance_opened',
        context: { order_id: order.id, title: order.title, quantity, cause },
      });
    },
    async late(transaction: PlatformTransaction, order: Order): Promise<void> {
      const shared = { order_id: order.id, title: order.title, due_on: day(order.due_on) };
      await mail(transaction, { id: `late:${order.id}:b`, user: order.buyer_id, template: 'order_late', context: shared });
      if (order.manufacturer_id === null) return;
      await mail(transaction, {
        id: `late:${order.id}:m`,
        user: await actsFor(transaction, order.manufacturer_id),
        template: 'order_late',
        context: { ...shared, for_manufacturer: true },
      });
    },
    /** Of a change that both sides hear of: the buyer what it means for him, the manufacturer what he has to do with it. */
    async changed(
      transaction: PlatformTransaction,
      order: Order,
      { event, at }: Pick<OrderChange, 'event'> & { readonly at: Date },
    ): Promise<void> {
      const id = `order:${order.id}:${order.version}`;
      const cancelled = order.state === 'cancelled';
      const cost = order.fee_minor > 0 ? money(order.fee_minor, order.currency) : undefined;
      const fee = cost === undefined ? undefined : formatMoney(cost);
      await mail(transaction, {
        id: `${id}:b`,
        user: order.buyer_id,
        ...(cancelled
          ? { template: 'order_cancelled', context: { order_id: order.id, title: order.title, cancelled_on: day(at), fee } }
          : { template: 'order_status', context: { order_id: order.id, status: inWords[order.state] } }),
      });
      if (order.manufacturer_id === null || buyersOnly.has(order.state)) return;
      const user = await actsFor(transaction, order.manufacturer_id);
      if (event === 'accept_offer' || event === 'award') {
        await mail(transaction, {
          id: `${id}:m`,
          user,
          template: 'order_awarded',
          context: { ...part(order), amount: formatMoney(money(order.price_minor ?? 0, order.currency)) },
        });
      } else if (cancelled) {
        const compensation = cost === undefined ? undefined : formatMoney(subtract(cost, platformFee(cost)));
        const context = { order_id: order.id, title: order.title, compensation };
        await mail(transaction, { id: `${id}:m`, user, template: 'order_cancelled', context });
      } else {
        await mail(transaction, {
          id: `${id}:m`,
          user,
          template: 'order_status',
          context: {
            order_id: order.id,
            status: inWords[order.state],
            note:
              event === 'lose_payment'
                ? 'The payment for it has lapsed. Please wait with the work until the buyer has paid again.'
                : undefined,
          },
        });
      }
    },
  };
}
