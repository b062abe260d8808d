/**
 * What the buyer's bank takes back and returns. Each dispute is booked by its own amount when the bank has the money, and the other way
 * round when it is won; an inquiry moves nothing. The order waits for a person meanwhile.
 */
import type { Selectable } from 'kysely';
import type { DisputesTable, PaymentsTable } from '../database/money-tables.ts';
import { book, chargedBack, inEscrow, wonBack } from '../ledger/ledger.ts';
import { money } from '../money/money.ts';
import { eventsOf } from '../orders/order-states.ts';
import type { Order, Orders, PlatformTransaction } from '../orders/orders.ts';
import { noteDifference } from './differences.ts';
import type { Dispute, Intent } from './gateway.ts';

export type StoredDispute = Selectable<DisputesTable>;

type TellDispute = (transaction: PlatformTransaction, dispute: StoredDispute, order: Order) => Promise<unknown>;

export interface DisputeDeps {
  readonly orders: Orders;
  /** The bank has taken the money. */
  readonly disputed: TellDispute;
  /** It has returned it, for an order that is closed. */
  readonly wonBack: TellDispute;
}

/** Takes over what has become of an intent's disputes. Payment and order must be locked. */
export async function takeDisputes(
  transaction: PlatformTransaction,
  deps: DisputeDeps,
  locked: { readonly payment: Selectable<PaymentsTable>; readonly order: Order },
  intent: Intent,
): Promise<void> {
  let { order } = locked;
  for (const dispute of intent.disputes) {
    const before = await transaction.selectFrom('disputes').selectAll().where('id', '=', dispute.id).executeTakeFirst();
    if (before !== undefined && isOld(before, dispute)) continue;
    const stored = await store(transaction, locked.payment.id, dispute);
    const had = before !== undefined && bankHas(before);
    if (!had && bankHas(stored)) order = await takeAway(transaction, deps, { ...locked, order }, stored, intent.refundedMinor);
    if (had && !bankHas(stored)) order = await giveBack(transaction, deps, { ...locked, order }, stored, intent.id);
  }
}

const bankHas = ({ status }: Pick<StoredDispute, 'status'>) => status === 'open' || status === 'lost';

/** An older answer that comes late undoes nothing. */
function isOld(before: StoredDispute, { status }: Dispute): boolean {
  return before.status === status || before.status === 'won' || status === 'inquiry';
}

function store(transaction: PlatformTransaction, payment: number, { id, amount, status }: Dispute): Promise<StoredDispute> {
  return transaction
    .insertInto('disputes')
    .values({ id, payment_id: payment, amount_minor: amount.minor, currency: amount.currency, status })
    .onConflict((conflict) => conflict.column('id').doUpdateSet({ status, updated_at: new Date() }))
    .returningAll()
    .executeTakeFirstOrThrow();
}

/** @param givenBack at the provider: a refund may have been made that we have not heard of yet */
async function takeAway(
  transaction: PlatformTransaction,
  { orders, disputed }: DisputeDeps,
  { payment, order }: { readonly payment: Selectable<PaymentsTable>; readonly order: Order },
  dispute: StoredDispute,
  givenBack: number,
): Promise<Order> {
  // What such refunds will take from the escrow is not there for the bank.
  const held = await inEscrow(transaction, order.id, payment.currency);
  const free = money(held.minor - Math.max(0, givenBack - payment.refunded_minor), payment.currency);
  await book(transaction, chargedBack(order.id, dispute.id, money(dispute.amount_minor, dispute.currency), free));
  await transaction.updateTable('payments').set({ disputed: true }).where('id', '=', payment.id).execute();
  await transaction.updateTable('orders').set({ taken_back: true }).where('id', '=', order.id).execute();
  const events = eventsOf(order.state);
  // A person decides how it goes on; before the parts have left, nothing more is made of them for nothing.
  const event = events.includes('dispute') ? 'dispute' : events.includes('hold') ? 'hold' : undefined;
  const now =
    event === undefined ? order : await orders.applyTo(transaction, order, { event, actor: 'system', data: { dispute: dispute.id } });
  await disputed(transaction, dispute, now);
  return now;
}

async function giveBack(
  transaction: PlatformTransaction,
  deps: DisputeDeps,
  { payment, order }: { readonly payment: Selectable<PaymentsTable>; readonly order: Order },
  dispute: StoredDispute,
  intent: string,
): Promise<Order> {
  const booking = await wonBack(transaction, order.id, dispute.id);
  if (booking !== undefined) await book(transaction, booking);
  const others = await transaction
    .selectFrom('disputes')
    .select('id')
    .where('payment_id', '=', payment.id)
    .where('status', 'in', ['open', 'lost'])
    .executeTakeFirst();
  if (others === undefined) await transaction.updateTable('orders').set({ taken_back: false }).where('id', '=', order.id).execute();
  if (order.state === 'closed') await deps.wonBack(transaction, dispute, order);
  if (order.state === 'cancelled') {
    const detail = { dispute: dispute.id, amount: dispute.amount_minor };
    await noteDifference(transaction, { kind: 'won_back', intent, payment: payment.id, detail });
  }
  return order;
}
