/** What buyers and manufacturers hear about orders, offers and quotes. */
import { actsFor } from '../accounts/acting-user.ts';
import { dayForPeople, type MailPeople } from '../email/mail-people.ts';
import { platformFee } from '../ledger/ledger.ts';
import { formatMoney, money, subtract } from '../money/money.ts';
import type { NonConformance } from './non-conformances.ts';
import type { Offer } from './offers.ts';
import { beforeAward, type OrderState } from './order-states.ts';
import type { Order, OrderEventRow, PlatformTransaction } from './orders.ts';
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

/** @param zone where a day begins */
export function orderMails(mail: MailPeople, zone: string) {
  const day = (at: Date | string) => dayForPeople(zone, at);
  const part = ({ id, title, material, quantity, due_on }: Order) => ({ order_id: id, title, material, quantity, deliver_by: day(due_on) });
  /** Who quotes, and what. */
  const received = async (transaction: PlatformTransaction, { data }: OrderEventRow) => {
    const { name, price_minor, currency, expires_at } = await transaction
      .selectFrom('quotes')
      .innerJoin('manufacturers', 'manufacturers.id', 'quotes.manufacturer_id')
      .select(['manufacturers.name', 'quotes.price_minor', 'quotes.currency', 'quotes.expires_at'])
      .where('quotes.id', '=', Number(data['quote']))
      .executeTakeFirstOrThrow();
    // As it was quoted then: it may have been bettered by now.
    const minor = typeof data['price_minor'] === 'number' ? data['price_minor'] : (price_minor ?? 0);
    return { manufacturer: name, amount: formatMoney(money(minor, currency)), valid_until: day(expires_at) };
  };
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
    /** To a manufacturer whose offer or quote is over, since the order is cancelled. */
    async withdrawn(
      transaction: PlatformTransaction,
      order: Order,
      what: { readonly kind: 'offer' | 'quote'; readonly id: number; readonly manufacturer_id: number },
    ): Promise<void> {
      await mail(transaction, {
        id: `withdrawn:${what.kind}:${what.id}`,
        user: await actsFor(transaction, what.manufacturer_id),
        template: 'order_cancelled',
        context: { order_id: order.id, title: order.title },
      });
    },
    /** To whoever has let the time for the next step pass. */
    async stepDue(transaction: PlatformTransaction, order: Order, { user, note }: { readonly user: number; readonly note: string }) {
      await mail(transaction, {
        id: `step-due:${order.id}:${order.version}:${user}`,
        user,
        template: 'order_status',
        context: { order_id: order.id, status: inWords[order.state], note },
      });
    },
    /** Of a change that both sides hear of: the buyer what it means for him, the manufacturer what he has to do with it. */
    async changed(transaction: PlatformTransaction, order: Order, change: OrderEventRow): Promise<void> {
      const { event, at, from_state, data } = change;
      const id = `order:${order.id}:${order.version}`;
      const cancelled = order.state === 'cancelled';
      const cost = order.fee_minor > 0 ? money(order.fee_minor, order.currency) : undefined;
      const fee = cost === undefined ? undefined : formatMoney(cost);
      const reason = typeof data['reason'] === 'string' ? data['reason'] : undefined;
      const quote = event === 'receive_quote' ? await received(transaction, change) : undefined;
      const shared = { order_id: order.id, title: order.title };
      await mail(transaction, {
        id: `${id}:b`,
        user: order.buyer_id,
        ...(cancelled
          ? { template: 'order_cancelled', context: { ...shared, reason, cancelled_on: day(at), fee } }
          : quote !== undefined
            ? { template: 'quote_received', context: { ...shared, ...quote } }
            : { template: 'order_status', context: { order_id: order.id, status: inWords[order.state] } }),
      });
      // Before the award it is no manufacturer's, also where that is told late.
      if (order.manufacturer_id === null || beforeAward.has(order.state === 'on_hold' ? from_state : order.state)) return;
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
        await mail(transaction, { id: `${id}:m`, user, template: 'order_cancelled', context: { ...shared, reason, compensation } });
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
