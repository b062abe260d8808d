/** What must hold when the lives of all orders are over. Each check lists what does not, one text for each case. */
import { type RawBuilder, type Selectable, sql } from 'kysely';
import type { PlatformDatabase } from '../../src/database/database.ts';
import type { OrderEventsTable } from '../../src/database/marketplace-tables.ts';
import { messageIdFor } from '../../src/email/delivery-records.ts';
import { trialBalance } from '../../src/ledger/ledger.ts';
import { beforeAward, nextStep, type OrderFacts, transitions } from '../../src/orders/order-states.ts';
import type { SandboxGateway } from '../../src/payments/sandbox-gateway.ts';
import { fromStripeAmount } from '../../src/payments/stripe-amounts.ts';
import type { TakenId } from '../smtp-server.ts';

type Complaints = Promise<readonly string[]>;

async function listed(database: PlatformDatabase, query: RawBuilder<{ readonly case: string }>): Complaints {
  return (await query.execute(database)).rows.map((row) => row.case);
}

/** Each order's events, played again by the table of transitions, lead to where it is; and there it may stay. */
export async function illegalLives(database: PlatformDatabase): Complaints {
  const orders = await database.selectFrom('orders').selectAll().execute();
  const events = new Map<number, Selectable<OrderEventsTable>[]>(orders.map(({ id }) => [id, []]));
  for (const event of await database.selectFrom('order_events').selectAll().orderBy('version').execute())
    events.get(event.order_id)?.push(event);
  const complaints: string[] = [];
  for (const order of orders) {
    const complain = (what: string) => complaints.push(`order ${order.id}, ${order.state}: ${what}`);
    const { id, mode, paid_at } = order;
    let facts: OrderFacts = {
      state: 'draft',
      heldState: undefined,
      mode,
      priced: false,
      assigned: false,
      paid: paid_at !== null,
      takenBack: false,
    };
    let version = 0;
    for (const { event, actor, from_state, to_state, version: stored } of events.get(id) ?? []) {
      version += 1;
      const settled = facts.priced || event === 'accept_offer' || event === 'award';
      facts = { ...facts, priced: settled, assigned: settled };
      try {
        const { to, heldState } = nextStep(facts, event, actor);
        if (facts.state !== from_state || to !== to_state || version !== stored) complain(`event ${stored}, ${event}, is another`);
        facts = { ...facts, state: to, heldState };
      } catch (error) {
        complain(`event ${stored}: ${(error as Error).message}`);
        break;
      }
    }
    if (order.version !== version) complain(`it is at version ${order.version} after ${version} events`);
    if (order.state !== facts.state || (order.held_state ?? undefined) !== facts.heldState) complain(`its events lead to ${facts.state}`);
    if (facts.priced !== (order.price_minor !== null && order.manufacturer_id !== null))
      complain('its price does not follow from its events');
  }
  return complaints;
}

/** Closed or cancelled. */
export function withoutEnd(database: PlatformDatabase): Complaints {
  return listed(
    database,
    sql`
      select concat_ws(' ', 'order', o.id, o.state, o.held_state, 'since', o.state_since, 'of version', o.version) as case
      from platform.orders o where o.state not in ('closed', 'cancelled')`,
  );
}

/** The books sum to zero and have what the provider has, to the cent; of nothing is more or less held back than there is. */
export async function wrongMoney(database: PlatformDatabase, { ledger }: Pick<SandboxGateway, 'ledger'>): Complaints {
  const complaints = Object.entries(await trialBalance(database))
    .filter(([, sum]) => sum !== 0)
    .map(([currency, sum]) => `the books are ${sum} off in ${currency}`);
  for (const { reference } of ledger.doubleCharges()) complaints.push(`${reference} was charged twice`);
  const held = new Map([...ledger.totals()].map(([currency, { captured, refunded }]) => [currency, captured - refunded]));
  for (const payment of await database.selectFrom('payments').selectAll().execute()) {
    const charges = ledger.charges(`payment-${payment.id}`);
    const sum = (of: (charge: (typeof charges)[number]) => number) =>
      charges.reduce((total, charge) => total + fromStripeAmount(of(charge), charge.currency).minor, 0);
    const theirs = { captured: sum(({ captured }) => captured), refunded: sum(({ refunded }) => refunded) };
    const takenBack = sum(({ disputed, captured, refunded }) => (disputed ? captured - refunded : 0));
    if (payment.captured_minor !== theirs.captured || payment.refunded_minor !== theirs.refunded || payment.disputed !== takenBack > 0) {
      complaints.push(`payment ${payment.id} is not as the provider has it`);
    }
    held.set(payment.currency, (held.get(payment.currency) ?? 0) - takenBack);
  }
  for (const [currency, theirs] of held) {
    const { rows } = await sql<{ sum: number }>`
      select coalesce(sum(amount_minor), 0)::bigint as sum from platform.ledger_entries where account = 'gateway' and currency = ${currency}`.execute(
      database,
    );
    const ours = rows[0]?.sum;
    if (ours !== theirs) complaints.push(`the account gateway has ${ours} ${currency}, the provider ${theirs}`);
  }
  return [
    ...complaints,
    ...(await listed(
      database,
      sql`
        select concat_ws(' ', account, 'still holds', sum(amount_minor), currency, 'after', string_agg(kind, ', ' order by transaction_id)) as case
        from platform.ledger_entries e join platform.ledger_transactions t on t.id = e.transaction_id
        where account like 'escrow:%' group by account, currency having sum(amount_minor) <> 0
        union all
        select concat_ws(' ', 'payment', id, 'of order', order_id, 'is', status) from platform.payments
        where not (status in ('captured', 'cancelled') or (status = 'failed' and declined_hard))
        union all
        select concat_ws(' ', 'attempt', number, 'of payment', payment_id, 'has not ended') from platform.payment_attempts where ended_at is null
        union all
        select concat_ws(' ', 'refund', id, 'is', status) from platform.refunds where status <> 'succeeded'
        union all
        select concat_ws(' ', 'order', o.id, 'is closed and', case when p.id is null then 'was not paid' else 'not paid out' end)
        from platform.orders o left join platform.payments p on p.order_id = o.id and p.status = 'captured'
        where o.state = 'closed' and p.disputed is not true and (p.id is null
          or not exists (select 1 from platform.ledger_transactions t where t.key = 'accept:' || o.id)
          or not exists (select 1 from platform.ledger_transactions t where t.key = 'payout:' || o.id))
        union all
        select concat_ws(' ', 'the provider and we differ:', kind, detail) from platform.payment_differences where kind <> 'taken_over'`,
    )),
  ];
}

/** Numbers without a hole in each series; one invoice for each order that was shipped, and one credit note for what went back of it. */
export function wrongInvoices(database: PlatformDatabase): Complaints {
  return listed(
    database,
    sql`
      select concat_ws(' ', 'series', s.series, 'stands at', s.last, 'with', count(i.id), 'invoices from', min(i.number), 'to', max(i.number)) as case
      from platform.invoice_series s left join platform.invoices i on i.series = s.series
      group by s.series, s.last
      having count(i.id) <> s.last or count(distinct i.number) <> s.last or coalesce(min(i.number), 1) <> 1 or coalesce(max(i.number), 0) <> s.last
      union all
      select concat_ws(' ', 'series', series, 'is not counted') from platform.invoices i
      where not exists (select 1 from platform.invoice_series s where s.series = i.series)
      union all
      select concat_ws(' ', coalesce(wanted.key, i.key), 'has', count(i.id), 'invoices') from (
        select distinct 'order:' || order_id as key from platform.order_events where event = 'ship'
        union all
        select 'refund:' || r.id from platform.refunds r join platform.payments p on p.id = r.payment_id
          where exists (select 1 from platform.order_events e where e.order_id = p.order_id and e.event = 'ship')
      ) wanted full join platform.invoices i on i.key = wanted.key
      group by wanted.key, i.key having wanted.key is null or count(i.id) <> 1`,
  );
}

/** Whoever is to hear of something has one record of it, and of changes and reminders nobody has one too many. */
export async function wrongRecords(database: PlatformDatabase): Complaints {
  const changes = await database
    .selectFrom('order_events')
    .innerJoin('orders', 'orders.id', 'order_events.order_id')
    .select(['order_id', 'order_events.version', 'event', 'from_state', 'to_state', 'manufacturer_id'])
    .execute();
  const ofChanges = changes
    .filter(({ event }) => (transitions[event].jobs as readonly string[]).includes('notify'))
    .flatMap(({ order_id, version, from_state, to_state, manufacturer_id }) => [
      `order:${order_id}:${version}:b`,
      ...(manufacturer_id === null || beforeAward.has(to_state === 'on_hold' ? from_state : to_state)
        ? []
        : [`order:${order_id}:${version}:m`]),
    ]);
  const { rows: others } = await sql<{ id: string; reminder: boolean }>`
    select 'offer:' || id as id, false as reminder from platform.offers
    union all select 'non-conformance:' || id, false from platform.non_conformances where disposition <> 'credit'
    union all select 'payment-receipt:' || id, false from platform.payments where captured_minor > 0
    union all select 'payment-dispute:' || d.id || ':' || o.buyer_id, false
      from platform.disputes d join platform.payments p on p.id = d.payment_id join platform.orders o on o.id = p.order_id
    union all select 'payment-lapsed:' || p.id || ':' || p.user_id, false from platform.order_events e
      join platform.payments p on p.id = (e.data ->> 'payment')::bigint where e.event = 'lose_payment'
    union all select 'refund:' || id, false from platform.refunds
    union all select 'invoice:' || id, false from platform.invoices
    union all select key, false from platform.ledger_transactions where kind = 'payout'
    union all select 'withdrawn:offer:' || id, false from platform.offers f where state = 'withdrawn' and not exists (
      select 1 from platform.order_events e where e.order_id = f.order_id and e.event = 'accept_offer' and e.data -> 'offer' = to_jsonb(f.id))
      and exists (select 1 from platform.order_events e where e.order_id = f.order_id and e.event = 'cancel' and e.at <= f.decided_at)
    union all select 'quote-reminder:' || subject || ':' || occasion, true from platform.reminders where kind = 'quote_due'
    union all select 'payment-reminder:' || subject, true from platform.reminders where kind = 'payment_due'
    union all select 'payment-reminder:order:' || subject, true from platform.reminders where kind = 'payment_missing'
    union all select 'late:' || subject || ':' || side, true from platform.reminders cross join (values ('b'), ('m')) as sides (side)
      where kind = 'order_late'`.execute(database);
  const records = new Set((await database.selectFrom('email_deliveries').select('id').execute()).map(({ id }) => id));
  const exactly = new Set([...ofChanges, ...others.filter(({ reminder }) => reminder).map(({ id }) => id)]);
  return [
    ...[...exactly, ...others.map(({ id }) => id)].filter((id) => !records.has(id)).map((id) => `${id} was never written`),
    ...[...records]
      .filter((id) => /^(?:order|quote-reminder|payment-reminder|late):/.test(id) && !exactly.has(id))
      .map((id) => `${id} tells of nothing`),
    // Which number these bear is not known here: there is one for each time that somebody was asked, or told of a decline.
    ...(await listed(
      database,
      sql`
        select concat_ws(' ', 'for order', asked.order_id, asked.n, 'quotes were asked for, in', coalesce(mails.n, 0), 'mails') as case
        from (select order_id, sum((data ->> 'quotes')::int) as n from platform.order_events where event = 'source' and data ? 'quotes' group by 1) asked
        left join (select q.order_id, count(*) as n from platform.quotes q join platform.email_deliveries d
          on d.id like 'quote-request:%' and split_part(d.id, ':', 2) = q.id::text group by 1) mails on mails.order_id = asked.order_id
        where asked.n is distinct from mails.n
        union all
        select concat_ws(' ', coalesce(told.subject, mails.subject), 'was told of', coalesce(told.n, 0), 'declines, in', coalesce(mails.n, 0), 'mails')
        from (select subject, count(*) as n from platform.reminders where kind = 'payment_failed' group by subject) told
        full join (select 'payment:' || split_part(id, ':', 2) as subject, count(*) as n
          from platform.email_deliveries where id like 'payment-declined:%' group by 1) mails on mails.subject = told.subject
        where told.n is distinct from mails.n
        union all
        select concat_ws(' ', 'payment', p.id, 'was declined for good, and nobody was told')
        from platform.payments p join platform.orders o on o.id = p.order_id
        -- Of one that was cancelled before its turn came nobody has to hear.
        where p.status = 'failed' and p.declined_hard and o.state <> 'cancelled' and not exists (
          select 1 from platform.email_deliveries d where d.id like 'payment-declined:' || p.id || ':%:final')`,
    )),
  ];
}

/** Every mail that was to go has gone, and the server has taken no other. */
export async function lostMails(database: PlatformDatabase, taken: readonly TakenId[]): Complaints {
  const records = await database.selectFrom('email_deliveries').select(['id', 'status', 'message_id']).execute();
  const ids = new Set(taken.map(({ messageId }) => messageId));
  const ours = new Set(records.map(({ message_id }) => message_id));
  return [
    ...records.filter(({ status }) => status !== 'sent').map(({ id, status }) => `${id} is ${status}`),
    ...records.filter(({ message_id }) => !ids.has(message_id)).map(({ id }) => `${id} never arrived`),
    ...records.filter(({ id, message_id }) => message_id !== messageIdFor(id, 'taktline.example')).map(({ id }) => `${id} has another id`),
    ...[...ids].filter((id) => !ours.has(id)).map((id) => `${id} is nobody's`),
  ];
}

/** A mail that was taken again: over which connection it had come before, and how many had come over that one since. */
export interface Doubled {
  readonly connection: number;
  readonly since: number;
}

export function doubledMails(taken: readonly TakenId[]): readonly Doubled[] {
  const before = new Map<string, { readonly connection: number; readonly place: number }>();
  const places = new Map<number, number>();
  const doubled: { readonly connection: number; readonly place: number }[] = [];
  for (const { messageId, connection } of taken) {
    const first = before.get(messageId);
    if (first !== undefined) doubled.push(first);
    const place = (places.get(connection) ?? 0) + 1;
    places.set(connection, place);
    before.set(messageId, { connection, place });
  }
  return doubled.map(({ connection, place }) => ({ connection, since: (places.get(connection) ?? 0) - place }));
}
