/**
 * Random walks of orders through their states with the money that goes with them, on a real platform: everybody does what he may and
 * what he may not, jobs run twice, the buyer's bank takes money back or does not reserve it any longer. Wherever the walk goes, the order is in a legal state, the
 * ledger is in balance and has what the provider has, nobody's money is held back or spent twice, and the papers say what was paid.
 */
import fc from 'fast-check';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startPostgres, type TestPostgres } from '../../test/database.ts';
import { newManufacturer, newOrder, newUser } from '../../test/marketplace.ts';
import { patience } from '../../test/patience.ts';
import { startTestPlatform, type TestPlatform } from '../../test/platform.ts';
import { addDays, dayIn } from '../calendar/business-days.ts';
import { nextWeek, weekOf } from '../calendar/iso-week.ts';
import { inEscrow, trialBalance } from '../ledger/ledger.ts';
import { money } from '../money/money.ts';
import { PaymentError, paymentOf } from '../payments/payments.ts';
import { RefundError, requestRefund } from '../payments/refunds.ts';
import { NonConformanceError } from './non-conformances.ts';
import { OfferError } from './offers.ts';
import { eventsOf, type OrderActor, type OrderEvent, type OrderState, OrderStateError, transitions } from './order-states.ts';
import { OrderError } from './orders.ts';

const long = process.env['TAKTLINE_LONG'] === '1';
const walks = long ? 400 : 10;
const timeout = long ? 1_800_000 : 180_000;

let postgres: TestPostgres;
let platform: TestPlatform;
let buyer: number;
let maker: { readonly id: number; readonly user: number };

const today = dayIn('UTC', new Date());
const weeks = Array.from({ length: 12 }).reduce<string[]>((all) => [...all, nextWeek(all.at(-1) ?? weekOf(today))], [weekOf(today)]);

beforeAll(async () => {
  postgres = await startPostgres();
  platform = await startTestPlatform(postgres, { smtpSettings: { ratePerSecond: 10_000 } });
  await platform.startWorker();
  const { database } = platform;
  await newUser(database, 'staff');
  buyer = await newUser(database);
  maker = await newManufacturer(database, { weeks });
  await database.updateTable('capacity').set({ total_minutes: 1_000_000 }).execute();
}, 60_000);
afterAll(async () => {
  await platform.stop();
  await postgres.stop();
});

const actors: readonly OrderActor[] = ['buyer', 'manufacturer', 'staff', 'system'];

/** What a walker does next; numbers choose among what there is. */
type Step =
  /** An event of the state, or any, by whoever may make it, or anybody. */
  | { readonly kind: 'event'; readonly which: number; readonly actor: number; readonly legal: boolean }
  | { readonly kind: 'credit' | 'refund'; readonly basisPoints: number }
  | { readonly kind: 'reject' | 'bank' | 'drain' | 'pay' }
  /** What is reserved lapses, which the provider tells or does not. */
  | { readonly kind: 'lapse'; readonly told: boolean }
  /** A job that has run, or is about to, runs once more. */
  | { readonly kind: 'again'; readonly which: number };

const nat = fc.nat({ max: 1_000 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 12, arbitrary: fc.record({ kind: fc.constant('event' as const), which: nat, actor: nat, legal: fc.constant(true) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('event' as const), which: nat, actor: nat, legal: fc.constant(false) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constantFrom('credit' as const, 'refund' as const), basisPoints: fc.integer({ min: 1, max: 11_000 }) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('reject' as const, 'bank' as const, 'pay' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('lapse' as const), told: fc.boolean() }) },
  { weight: 9, arbitrary: fc.constant({ kind: 'drain' as const }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('again' as const), which: nat }) },
);

/** How far the walk has come before it is left to chance. */
const starts = ['draft', 'awarded', 'in_production', 'inspection', 'shipped', 'delivered'] as const;
const cards = ['pm_card_visa', 'pm_card_visa', 'pm_card_mastercard', 'pm_card_lost', 'pm_card_soft_once', 'pm_card_timeout'] as const;

const happyWay: Readonly<Partial<Record<OrderState, readonly [OrderEvent, OrderActor]>>> = {
  draft: ['submit', 'buyer'],
  payment_authorised: ['begin_production', 'manufacturer'],
  in_production: ['finish_production', 'manufacturer'],
  inspection: ['ship', 'manufacturer'],
  shipped: ['deliver', 'buyer'],
};

/** Refusals that are part of the game; anything else is a bug. */
const isRefusal = (error: unknown): boolean =>
  [OrderStateError, OrderError, OfferError, PaymentError, RefundError, NonConformanceError].some((kind) => error instanceof kind);

class Walker {
  readonly id: number;

  constructor(id: number) {
    this.id = id;
  }

  read() {
    return platform.database.selectFrom('orders').selectAll().where('id', '=', this.id).executeTakeFirstOrThrow();
  }

  async take(step: Step): Promise<void> {
    try {
      await this.#take(step);
    } catch (error) {
      if (!isRefusal(error)) throw error;
    }
  }

  /** The way that all goes well, until it is in that state, or does not go on. */
  async goTo(wanted: OrderState): Promise<void> {
    for (let tries = 0; tries < 20; tries += 1) {
      await drained();
      const { state } = await this.read();
      if (state === wanted) return;
      const [event, actor] = happyWay[state] ?? [];
      if (event !== undefined && actor !== undefined) await this.#event(event, actor);
      else if (state === 'sourcing') await this.#answer(true);
      else return;
    }
  }

  async #take(step: Step): Promise<void> {
    const { database, tasks, sandbox } = platform;
    switch (step.kind) {
      case 'event':
        return this.#chosen(step);
      case 'drain':
        return drained();
      case 'pay': {
        const { price_minor, tax_minor, currency } = await this.read();
        const amount = ((price_minor ?? 100) + tax_minor) / 100;
        await tasks.processPayment.delay({ amount, currency, payment_method_id: 'pm_card_mastercard', order_id: this.id, user_id: buyer });
        return;
      }
      case 'reject':
        await database
          .transaction()
          .execute((transaction) =>
            tasks.rejectParts(
              transaction,
              this.id,
              { quantity: 1, cause: 'damage', disposition: 'rework' },
              { actor: 'buyer', actorId: buyer },
            ),
          );
        return;
      case 'credit': {
        const amount = money(Math.max(1, Math.floor((((await this.read()).price_minor ?? 100) * step.basisPoints) / 10_000)), 'EUR');
        await database
          .transaction()
          .execute((transaction) => tasks.grantCredit(transaction, this.id, { quantity: 1, cause: 'damage', amount }, { actor: 'staff' }));
        return;
      }
      case 'refund': {
        const payment = await paymentOf(database, this.id);
        if (payment === undefined) return;
        const amount = money(Math.max(1, Math.floor((payment.captured_minor * step.basisPoints) / 10_000)), 'EUR');
        await database.transaction().execute(async (transaction) => {
          const { refund } = await requestRefund(transaction, {
            payment: payment.id,
            amount,
            reference: `walk:${this.id}:${amount.minor}`,
            reason: 'goodwill',
          });
          await tasks.refundPayment.enqueue({ refund_id: refund.id }, { transaction });
        });
        return;
      }
      case 'bank': {
        const payment = await paymentOf(database, this.id);
        if (payment?.intent == null || payment.captured_minor === 0) return;
        // Once is enough, for a bank too: then it returns what it has. Of an order that is cancelled a person would have to see to that.
        const dispute = (await platform.gateway.find(payment.intent))?.disputes.find(({ status }) => status === 'open');
        try {
          if (dispute === undefined) sandbox.dispute(payment.intent);
          else if ((await this.read()).state !== 'cancelled') sandbox.moveDispute(dispute.id, 'won');
        } catch {
          // Nothing is left to take.
          return;
        }
        await tasks.paymentChanged(payment.intent);
        return;
      }
      case 'lapse': {
        const payment = await paymentOf(database, this.id);
        if (payment?.intent == null) return;
        try {
          sandbox.lapse(payment.intent);
        } catch {
          // Nothing is reserved.
          return;
        }
        if (step.told) await tasks.paymentChanged(payment.intent);
        return;
      }
      case 'again':
        return this.#again(step.which);
    }
  }

  async #chosen({ which, actor, legal }: Extract<Step, { readonly kind: 'event' }>): Promise<void> {
    const { state } = await this.read();
    if (legal && state === 'sourcing' && which % 3 !== 0) return this.#answer(which % 4 !== 0);
    const events = legal ? eventsOf(state) : (Object.keys(transitions) as OrderEvent[]);
    const event = events[which % Math.max(1, events.length)];
    if (event === undefined) return;
    // These are made with what they need: an offer, a payment, what was found.
    if (legal && ['accept_offer', 'authorise_payment', 'grant_credit', 'reject_parts'].includes(event)) return;
    const may = legal ? (transitions[event].actors as readonly OrderActor[]) : actors;
    await this.#event(event, may[actor % may.length] as OrderActor);
  }

  async #event(event: OrderEvent, actor: OrderActor): Promise<void> {
    const actorId = actor === 'buyer' ? buyer : actor === 'manufacturer' ? maker.user : undefined;
    // Nobody but the code itself makes an award without a price, or says that a payment was made or lost.
    if (event === 'authorise_payment' || event === 'lose_payment' || event === 'source') return;
    await platform.database
      .transaction()
      .execute((transaction) =>
        platform.tasks.orders.apply(transaction, this.id, { event, actor, ...(actorId === undefined ? {} : { actorId }) }),
      );
  }

  async #answer(accepts: boolean): Promise<void> {
    const offer = await platform.database
      .selectFrom('offers')
      .select('id')
      .where('order_id', '=', this.id)
      .where('state', '=', 'open')
      .executeTakeFirst();
    if (offer === undefined) return;
    const { offers } = platform.tasks;
    await platform.database
      .transaction()
      .execute((transaction) =>
        accepts ? offers.accept(transaction, offer.id, maker.user) : offers.decline(transaction, offer.id, maker.user),
      );
  }

  async #again(which: number): Promise<void> {
    const { tasks, database } = platform;
    const order = { order_id: this.id };
    const { state } = await this.read();
    const payment = await paymentOf(database, this.id);
    const refund = await database
      .selectFrom('refunds')
      .select('id')
      .where('payment_id', '=', payment?.id ?? 0)
      .orderBy('id', 'desc')
      .executeTakeFirst();
    const jobs: (() => Promise<unknown>)[] = [() => tasks.generateInvoice.delay(order)];
    if (payment !== undefined) jobs.push(() => tasks.chargePayment.delay({ payment_id: payment.id }));
    if (refund !== undefined) jobs.push(() => tasks.refundPayment.delay({ refund_id: refund.id }));
    // Only what the order has had enqueued can come twice.
    if (state === 'closed') jobs.push(() => tasks.payOut.delay(order));
    if (state === 'cancelled') jobs.push(() => tasks.releasePayment.delay(order));
    if (state === 'in_production') jobs.push(() => tasks.capturePayment.delay(order));
    await jobs[which % jobs.length]?.();
  }
}

/** Whatever was enqueued has run; offers that expire in a day do not count. */
async function drained(): Promise<void> {
  const busy = async () => (await platform.app.inspector.queues()).reduce((sum, { ready, running }) => sum + ready + running, 0);
  await expect.poll(busy, { ...patience, interval: 10 }).toBe(0);
  // A retry waits for some milliseconds between two attempts.
  const retrying = async () => {
    const { rows } = await sql<{ due: number }>`
      select count(*)::int as due from platform.payments where status in ('created', 'unknown', 'processing')`.execute(platform.database);
    return (rows[0]?.due ?? 0) + (await busy());
  };
  await expect.poll(retrying, { ...patience, interval: 10 }).toBe(0);
}

async function checkOrder(walker: Walker): Promise<void> {
  const { database } = platform;
  const { id } = walker;
  const order = await walker.read();
  const events = await database.selectFrom('order_events').selectAll().where('order_id', '=', id).orderBy('version').execute();
  expect(events.map(({ version }) => version)).toEqual(events.map((_, place) => place + 1));
  expect(order.version).toBe(events.length);
  let at: OrderState = 'draft';
  for (const { event, from_state, to_state, actor } of events) {
    const transition = transitions[event];
    expect([id, event, from_state]).toEqual([id, event, at]);
    expect(transition.from as readonly OrderState[]).toContain(from_state);
    expect(transition.actors as readonly OrderActor[]).toContain(actor);
    at = to_state;
  }
  expect(order.state).toBe(at);

  const escrow = await inEscrow(database, id, order.currency);
  expect(escrow.minor, `escrow of order ${id}`).toBeGreaterThanOrEqual(0);
  const payments = await database.selectFrom('payments').selectAll().where('order_id', '=', id).execute();
  const captured = payments.reduce((sum, { captured_minor }) => sum + captured_minor, 0);
  const refunds = await database
    .selectFrom('refunds')
    .selectAll()
    .where('payment_id', 'in', payments.length === 0 ? [0] : payments.map((payment) => payment.id))
    .execute();
  const back = refunds.filter(({ status }) => status === 'succeeded').reduce((sum, { amount_minor }) => sum + amount_minor, 0);
  expect(back).toBeLessThanOrEqual(captured);
  if (captured > 0 && order.paid_at !== null) expect(captured).toBe((order.price_minor ?? 0) + order.tax_minor);
  // At its end nothing of it is held.
  if (order.state === 'closed' || order.state === 'cancelled') expect([id, order.state, escrow.minor]).toEqual([id, order.state, 0]);

  const papers = await database.selectFrom('invoices').select(['kind', 'key', 'document']).where('order_id', '=', id).execute();
  const isShipped = events.some(({ event }) => event === 'ship');
  expect(papers.filter(({ kind }) => kind === 'invoice')).toHaveLength(isShipped ? 1 : 0);
  if (isShipped) {
    const sum = papers.reduce((total, { document }) => total + (document['totals'] as { readonly grossMinor: number }).grossMinor, 0);
    expect([id, sum]).toEqual([id, captured - back]);
  }
}

async function checkBooks(): Promise<void> {
  const { database, sandbox } = platform;
  expect(Object.values(await trialBalance(database)).filter((sum) => sum !== 0)).toEqual([]);
  const { rows } = await sql<{ sum: number }>`
    select coalesce(sum(amount_minor), 0)::bigint as sum from platform.ledger_entries where account = 'gateway'`.execute(database);
  const { captured = 0, refunded = 0 } = sandbox.ledger.totals().get('EUR') ?? {};
  expect(rows[0]?.sum).toBe(captured - refunded - (sandbox.ledger.disputed().get('EUR') ?? 0));
  expect(sandbox.ledger.doubleCharges()).toEqual([]);
  const { rows: gaps } = await sql`
    select s.series from platform.invoice_series s left join platform.invoices i on i.series = s.series
    group by s.series, s.last having count(i.id) <> s.last or max(i.number) <> s.last`.execute(database);
  expect(gaps).toEqual([]);
}

it(`${walks} walks: legal states, a ledger in balance, and papers of what was paid`, { timeout }, async ({ annotate }) => {
  const ends = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...starts),
      fc.constantFrom(...cards),
      fc.array(step, { minLength: 4, maxLength: 24 }),
      async (start, card, steps) => {
        const { database } = platform;
        const id = await newOrder(database, {
          buyer_id: buyer,
          due_on: addDays(today, 60),
          payment_method: start === 'draft' ? card : 'pm_card_visa',
        });
        const walker = new Walker(id);
        if (start !== 'draft') await walker.goTo(start);
        for (const one of steps) {
          await walker.take(one);
          if (one.kind === 'drain') await checkOrder(walker);
        }
        await drained();
        await checkOrder(walker);
        await checkBooks();
        const { state } = await walker.read();
        ends.set(state, (ends.get(state) ?? 0) + 1);
      },
    ),
    { numRuns: walks, endOnFailure: true },
  );
  await annotate([...ends].map(([state, count]) => `${state} ${count}`).join(', '));
});
