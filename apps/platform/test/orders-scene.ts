/** Orders whose jobs are noted instead of enqueued, for tests of what changes them. */

import type { PlatformDatabase } from '../src/database/database.ts';
import type { OrderEvent, OrderJob } from '../src/orders/order-states.ts';
import { type OrderJobs, Orders, type PlatformTransaction } from '../src/orders/orders.ts';

const names: readonly OrderJob[] = [
  'match',
  'notify',
  'authorise',
  'capture',
  'payout',
  'invoice',
  'release',
  'freeCapacity',
  'recordDelivery',
  'closeNonConformances',
  'goOn',
];

/** @param failing one that cannot be enqueued */
export function ordersScene(database: PlatformDatabase, failing?: OrderJob) {
  const enqueued: string[] = [];
  const job = (name: OrderJob) => async (_: unknown, order: { readonly id: number }) => {
    if (name === failing) throw new Error('the outbox is gone');
    enqueued.push(`${name}:${order.id}`);
  };
  const jobs = Object.fromEntries(names.map((name) => [name, job(name)])) as unknown as OrderJobs;
  const orders = new Orders(() => jobs);
  const inTransaction = <Result>(work: (transaction: PlatformTransaction) => Promise<Result>) => database.transaction().execute(work);
  return {
    enqueued,
    orders,
    inTransaction,
    /** Each by the staff, or the system where they may not. */
    async events(id: number, ...events: readonly OrderEvent[]) {
      for (const event of events) {
        await inTransaction((transaction) =>
          orders.apply(transaction, id, { event, actor: event === 'authorise_payment' ? 'system' : 'staff' }),
        );
      }
    },
    read: (id: number) => database.selectFrom('orders').selectAll().where('id', '=', id).executeTakeFirstOrThrow(),
  };
}
