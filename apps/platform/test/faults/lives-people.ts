/**
 * The people of the story, and some more beside them: makers and buyers who do nothing until they are reminded, or nothing at all,
 * buyers who cancel, buyers whose bank asks whether it is them, and banks that take money back.
 */
import { type RawBuilder, sql } from 'kysely';
import { plannedTrouble, type SampleOrder } from '../../src/demo/sample-data.ts';
import { Story } from '../../src/demo/story.ts';
import { isOver } from '../../src/orders/order-states.ts';
import { lockOrder, OrderError } from '../../src/orders/orders.ts';
import type { TestPlatform } from '../platform.ts';

export interface PeopleOptions {
  readonly platform: Pick<TestPlatform, 'database' | 'tasks' | 'sandbox'>;
  readonly orders: readonly SampleOrder[];
  /** Milliseconds since the Unix epoch. */
  readonly now: () => number;
}

/** Of every so many orders. */
const of = {
  /** Whoever is asked for a quote answers when he is reminded. */
  slowQuotes: { every: 5, place: 2 },
  /** Nobody quotes before he is asked again. */
  noQuotes: { every: 5, place: 3 },
  /** Nobody answers the first offer. */
  noAnswer: { every: 6, place: 1 },
  /** Its day has come while it is made, and its maker goes on when he is reminded. */
  late: { every: 10, place: 7 },
  /** The buyer says neither that it has come nor that it is right. */
  silent: { every: 20, place: 13 },
  /** The buyer wants it no more, at whatever moment after the award that is. */
  cancelled: { every: 12, place: 6 },
  /** The buyer's bank takes the money back while the parts are on their way. */
  takenBack: { every: 20, place: 9 },
  /** The buyer's bank asks whether it is him, and he says so when he is reminded. */
  asking: { every: 15, place: 4 },
} as const;

function isOneOf({ every, place }: (typeof of)[keyof typeof of]): RawBuilder<boolean> {
  return sql`o.id % ${every} = ${place}`;
}

/** Sample orders, some of which are paid by a card whose bank asks. */
export function withAskingBanks(orders: readonly SampleOrder[]): readonly SampleOrder[] {
  return orders.map((order, place) =>
    order.trouble === undefined && place % of.asking.every === of.asking.place
      ? { ...order, paymentMethod: 'pm_card_authenticationRequired' }
      : order,
  );
}

export class People {
  readonly #options: PeopleOptions;
  readonly #story: Story;
  /** Orders of which nobody does anything now. */
  #idle = new Set<number>();
  /** Intents that the bank has done with. */
  readonly #bankDone = new Set<string>();

  constructor(options: PeopleOptions) {
    const { platform } = options;
    this.#options = options;
    this.#story = new Story({
      ...platform,
      troubleOf: ({ id, reference }) => {
        if (this.#idle.has(id)) throw new OrderError('VERSION_CONFLICT', 'nobody does anything now');
        // What is shipped in this round would be delivered in it too.
        if (id % of.silent.every === of.silent.place) this.#idle.add(id);
        return plannedTrouble({ reference });
      },
    });
  }

  /** Everybody does what is to be done now; so many new orders come at most. @returns how many things were done */
  async round(drafts: number): Promise<number> {
    await this.#bringTheirDay();
    this.#idle = new Set(await this.#withIdlePeople());
    return (
      (await this.#approve()) +
      (await this.#takeBack()) +
      (await this.#cancel()) +
      (await this.#story.round(this.#options.orders.length, drafts))
    );
  }

  async #bringTheirDay(): Promise<void> {
    const yesterday = new Date(this.#options.now() - 86_400_000).toISOString().slice(0, 10);
    await sql`
      update platform.orders o set due_on = ${yesterday}
      where state = 'in_production' and due_on > ${yesterday} and ${isOneOf(of.late)}`.execute(this.#options.platform.database);
  }

  #withIdlePeople(): Promise<readonly number[]> {
    return this.#ids(sql`
      select o.id from platform.orders o
      where o.state = 'sourcing' and o.mode = 'rfq' and ${isOneOf(of.slowQuotes)} and not exists (
        select 1 from platform.quotes q join platform.reminders r on r.kind = 'quote_due' and r.subject = q.id::text where q.order_id = o.id)
      union all
      select o.id from platform.orders o
      where o.state = 'sourcing'
        and ((o.mode = 'rfq' and ${isOneOf(of.noQuotes)}) or (o.mode = 'instant' and ${isOneOf(of.noAnswer)}))
        and not exists (select 1 from platform.order_events e where e.order_id = o.id and e.event = 'match_again')
      union all
      select o.id from platform.orders o
      where o.state = 'in_production' and ${isOneOf(of.late)}
        and not exists (select 1 from platform.reminders r where r.kind = 'order_late' and r.subject = o.id::text)
      union all
      select o.id from platform.orders o where o.state in ('shipped', 'delivered') and ${isOneOf(of.silent)}`);
  }

  async #cancel(): Promise<number> {
    const { database, tasks } = this.#options.platform;
    const ids = await this.#ids(sql`
      select o.id from platform.orders o
      where o.state in ('awarded', 'payment_authorised', 'in_production') and ${isOneOf(of.cancelled)}`);
    for (const id of ids) {
      await database.transaction().execute(async (transaction) => {
        const order = await lockOrder(transaction, id);
        if (isOver(order.state)) return;
        await tasks.orders.applyTo(transaction, order, { event: 'cancel', actor: 'buyer', actorId: order.buyer_id });
      });
    }
    return ids.length;
  }

  #approve(): Promise<number> {
    return this.#bank(
      sql`
        select p.intent from platform.payments p join platform.reminders r on r.kind = 'payment_due' and r.subject = p.id::text
        where p.status = 'requires_action'`,
      (intent) => this.#options.platform.sandbox.approve(intent),
    );
  }

  /** Not where something goes back already: then the provider takes no dispute and refund at once. */
  #takeBack(): Promise<number> {
    return this.#bank(
      sql`
        select p.intent from platform.payments p join platform.orders o on o.id = p.order_id
        where o.state = 'shipped' and ${isOneOf(of.takenBack)} and p.status = 'captured'
          and not exists (select 1 from platform.refunds r where r.payment_id = p.id)`,
      (intent) => this.#options.platform.sandbox.dispute(intent),
    );
  }

  /** The bank is the sandbox: what it does is told as by a webhook. */
  async #bank(query: RawBuilder<{ readonly intent: string }>, act: (intent: string) => void): Promise<number> {
    const { database, tasks } = this.#options.platform;
    const { rows } = await query.execute(database);
    const intents = rows.map(({ intent }) => intent).filter((intent) => !this.#bankDone.has(intent));
    for (const intent of intents) {
      this.#bankDone.add(intent);
      act(intent);
      await tasks.paymentChanged(intent);
    }
    return intents.length;
  }

  async #ids(query: RawBuilder<{ readonly id: number }>): Promise<readonly number[]> {
    return (await query.execute(this.#options.platform.database)).rows.map(({ id }) => id);
  }
}
