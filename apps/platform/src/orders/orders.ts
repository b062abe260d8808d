/**
 * Orders in the database. Every change of a state goes through `apply`: in the caller's transaction it locks the order, asks the
 * table of transitions, writes the event, and enqueues the jobs that belong to it, so that all of it is there or nothing.
 */
import type { Selectable, Transaction } from 'kysely';
import { actsFor } from '../accounts/acting-user.ts';
import type { OrderEventsTable, OrdersTable } from '../database/marketplace-tables.ts';
import type { PlatformTables } from '../database/tables.ts';
import { money, share } from '../money/money.ts';
import { type AwardTax, taxOfAward } from './award.ts';
import {
  cancellationFee,
  type NextStep,
  nextStep,
  type OrderActor,
  type OrderEvent,
  type OrderFacts,
  type OrderJob,
  OrderStateError,
} from './order-states.ts';

export type Order = Selectable<OrdersTable>;
export type OrderEventRow = Selectable<OrderEventsTable>;
export type PlatformTransaction = Transaction<PlatformTables>;

/** What is to be enqueued when something has happened to an order; each in the transaction that changes it. */
export type OrderJobs = Readonly<
  Record<OrderJob, (transaction: PlatformTransaction, order: Order, change: OrderChange) => Promise<unknown>>
>;

export interface OrderChange {
  readonly event: OrderEvent;
  readonly actor: OrderActor;
  /** The user; undefined for the system. */
  readonly actorId?: number;
  /** The version that the actor has seen: another one is refused. */
  readonly expectedVersion?: number;
  /** Kept with the event. No personal data. */
  readonly data?: Readonly<Record<string, unknown>>;
  /** What an award or an accepted offer settles. */
  readonly set?: Partial<Pick<Order, 'manufacturer_id' | 'price_minor'>>;
}

/** `NOT_FOUND`, or `VERSION_CONFLICT` when somebody has changed the order meanwhile. */
export class OrderError extends Error {
  override readonly name = 'OrderError';
  readonly code: 'NOT_FOUND' | 'VERSION_CONFLICT';

  constructor(code: OrderError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

/** Events that are made by a manufacturer who has not got the order: whose offer or quote it is, is checked where those are. */
const byAnybodyAsked: ReadonlySet<OrderEvent> = new Set<OrderEvent>(['accept_offer', 'match_again', 'receive_quote']);

export class Orders {
  readonly #jobs: () => OrderJobs;
  readonly #now: () => number;

  /**
   * @param jobs asked when they are first needed: the tasks behind them work with this class
   * @param now milliseconds since the Unix epoch, for what is dated and what falls due
   */
  constructor(jobs: () => OrderJobs, now: () => number = Date.now) {
    this.#jobs = jobs;
    this.#now = now;
  }

  /**
   * Makes an event of an order happen.
   *
   * @returns the order as it is then
   * @throws OrderStateError, OrderError; TaxRuleError, MoneyError for an award
   */
  async apply(transaction: PlatformTransaction, id: number, change: OrderChange): Promise<Order> {
    const order = await lockOrder(transaction, id);
    return this.applyTo(transaction, order, change);
  }

  /** The same to an order that the transaction has locked already. */
  async applyTo(transaction: PlatformTransaction, order: Order, change: OrderChange): Promise<Order> {
    const { event, actor, actorId, expectedVersion, data = {} } = change;
    const set = { ...change.set, ...cancellation(order, change) };
    mustBeAt(order, expectedVersion);
    await mayAct(transaction, order, change);
    const step = nextStep(factsOf({ ...order, ...set }), event, actor);
    const now = this.#now();
    const changed = await transaction
      .updateTable('orders')
      .set({
        ...set,
        ...(await award(transaction, order, change)),
        state: step.to,
        held_state: step.heldState ?? null,
        version: order.version + 1,
        // What leaves an order where it is gives nobody more time.
        deadline: step.to === order.state ? order.deadline : deadlineOf(step, now),
        ...(step.to === order.state ? {} : { state_since: new Date(now) }),
      })
      .where('id', '=', order.id)
      .returningAll()
      .executeTakeFirstOrThrow();
    await transaction
      .insertInto('order_events')
      .values({
        order_id: order.id,
        version: changed.version,
        event,
        from_state: order.state,
        to_state: step.to,
        actor,
        actor_id: actorId ?? null,
        data: JSON.stringify(data),
        at: new Date(now),
      })
      .execute();
    const jobs = this.#jobs();
    // After one that fails the transaction is over: none of the others may run on its connection then.
    for (const job of step.jobs) await jobs[job](transaction, changed, change);
    // That one may have changed it.
    return step.jobs.includes('goOn') ? lockOrder(transaction, order.id) : changed;
  }
}

/** Nobody else changes it before this transaction is over. @throws OrderError `NOT_FOUND` */
export async function lockOrder(transaction: PlatformTransaction, id: number): Promise<Order> {
  const order = await transaction.selectFrom('orders').selectAll().where('id', '=', id).forUpdate().executeTakeFirst();
  if (order === undefined) throw new OrderError('NOT_FOUND', `there is no order ${id}`);
  return order;
}

/** @param seen the version that somebody has seen; undefined for any. @throws OrderError `VERSION_CONFLICT` */
export function mustBeAt({ version }: Pick<Order, 'version'>, seen: number | undefined): void {
  if (seen !== undefined && seen !== version) {
    throw new OrderError('VERSION_CONFLICT', `the order is at version ${version} now; read it again`);
  }
}

export function factsOf(
  order: Pick<Order, 'state' | 'held_state' | 'mode' | 'price_minor' | 'manufacturer_id' | 'paid_at' | 'taken_back'>,
): OrderFacts {
  return {
    state: order.state,
    heldState: order.held_state ?? undefined,
    mode: order.mode,
    priced: order.price_minor !== null,
    assigned: order.manufacturer_id !== null,
    paid: order.paid_at !== null,
    takenBack: order.taken_back,
  };
}

function deadlineOf({ deadlineMs }: NextStep, now: number): Date | null {
  return deadlineMs === undefined ? null : new Date(now + deadlineMs);
}

async function award(transaction: PlatformTransaction, order: Order, { set }: OrderChange): Promise<Partial<AwardTax>> {
  const { manufacturer_id: manufacturer, price_minor: price } = set ?? {};
  if (typeof manufacturer !== 'number' || typeof price !== 'number') return {};
  return taxOfAward(transaction, order, manufacturer, price);
}

/** A buyer who cancels late owes a fee. Whom the platform cancels for owes none. */
function cancellation(order: Order, { event, actor }: OrderChange): Partial<Pick<Order, 'fee_minor'>> {
  if (event !== 'cancel' || actor !== 'buyer' || order.price_minor === null) return {};
  return { fee_minor: share(money(order.price_minor, order.currency), cancellationFee(factsOf(order))).minor };
}

/** A buyer may change his own orders only, a manufacturer those that he has got. */
async function mayAct(transaction: PlatformTransaction, order: Order, { event, actor, actorId }: OrderChange): Promise<void> {
  if (actor === 'buyer' && actorId !== order.buyer_id) throw new OrderStateError('FORBIDDEN_ACTOR', 'this is the order of another buyer');
  if (actor !== 'manufacturer' || byAnybodyAsked.has(event)) return;
  if (order.manufacturer_id === null || (await actsFor(transaction, order.manufacturer_id)) !== actorId)
    throw new OrderStateError('FORBIDDEN_ACTOR', 'this order is with another manufacturer');
}
