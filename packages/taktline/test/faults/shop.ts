/**
 * A small shop whose processes and servers are killed, frozen and emptied at random while it takes orders, and a ledger of what
 * became of every order: those that were committed, those that were rolled back, and the lines that their jobs have written.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { TestContext } from 'vitest';
import { type App, createApp, migrateOutbox, silentLogger } from '../../src/index.ts';
import { Child } from '../support/child.ts';
import { eventually } from '../support/eventually.ts';
import { OwnServer } from '../support/own-server.ts';

/** A broker's server. */
export interface BrokerServer {
  readonly url: string;
  crash(): Promise<void>;
  start(): Promise<void>;
}

export interface ShopOptions {
  readonly broker: BrokerServer;
  /** The app's database. */
  readonly database: OwnServer;
  readonly random: () => number;
}

export interface Ledger {
  readonly orders: number;
  /** Of orders that were committed: how many have no line of that kind. */
  readonly missing: Readonly<Record<'charge' | 'mail', number>>;
  /** Lines that are there twice. */
  readonly doubled: number;
  /** Lines of orders that were rolled back. */
  readonly strangers: number;
  readonly dead: number;
}

const leaseMs = 3_000;
const chunk = 1_000;
/** Every tenth order is rolled back at its end. */
const rolledBack = 10;
const faults = ['client', 'relay', 'worker', 'freeze', 'broker'] as const;

export class Shop {
  readonly app: App;
  readonly pool: pg.Pool;
  readonly faults: string[] = [];
  readonly #options: ShopOptions;
  readonly #namespace = `f_${randomBytes(6).toString('hex')}`;
  readonly #children: { readonly role: string; readonly child: Child }[] = [];
  readonly #thaws: Promise<void>[] = [];
  #from = 1;
  #over = false;
  #closed = false;

  private constructor(options: ShopOptions) {
    this.#options = options;
    const databaseUrl = options.database.url();
    this.app = createApp({
      brokerUrl: options.broker.url,
      namespace: this.#namespace,
      queues: [
        { name: 'charge', priority: 10, keepUntilEnd: true },
        { name: 'mail', priority: 5 },
      ],
      outbox: { databaseUrl },
      logger: silentLogger,
    });
    this.pool = new pg.Pool({ connectionString: databaseUrl, max: 2 });
    this.pool.on('error', () => undefined);
  }

  /** Opens it: two workers, two relays, two clients. All is ended with the test. */
  static async open(test: TestContext, options: ShopOptions): Promise<Shop> {
    const shop = new Shop(options);
    test.onTestFinished(() => shop.#end());
    await shop.pool.query('create table orders (id bigint primary key)');
    await shop.pool.query('create table lines (order_id bigint not null, kind text not null)');
    await migrateOutbox(shop.pool);
    await shop.app.ping();
    for (const role of ['worker', 'relay']) for (const _ of [1, 2]) shop.#start(role);
    for (const _ of [1, 2]) shop.#client();
    await Promise.all(shop.#children.filter(({ role }) => role !== 'client').map(({ child }) => child.said('started')));
    return shop;
  }

  /** Something goes wrong somewhere, until so many orders have been committed. */
  async trouble({
    orders,
    everyMs,
    also,
  }: {
    readonly orders: number;
    readonly everyMs: number;
    also?(orders: number): Promise<void>;
  }): Promise<void> {
    for (let turn = 0; ; turn++) {
      const there = await this.#count('orders');
      if (there >= orders) break;
      await also?.(there);
      await sleep(everyMs * (0.5 + this.#options.random()));
      await this.#fault(faults[Math.floor(this.#options.random() * faults.length)] as (typeof faults)[number]);
    }
    this.#over = true;
    await Promise.all(this.#thaws);
    await Promise.all(this.#children.filter(({ role }) => role === 'client').map(({ child }) => child.exited));
  }

  /** Until nothing waits, runs or is kept any more. */
  async rests(withinMs: number): Promise<void> {
    let told = '';
    await eventually(
      async () => {
        const [lag, queues] = await Promise.all([this.app.outbox.lag(), this.app.inspector.queues()]);
        const standing = queues.reduce((sum, { ready, scheduled, running }) => sum + ready + scheduled + running, 0);
        told = JSON.stringify({ ...lag, standing });
        return lag.waiting + lag.kept + standing === 0;
      },
      'the shop comes to rest',
      { withinMs, everyMs: 200 },
    ).catch((error: unknown) => {
      throw new Error(`${told}\n${this.complaints}`, { cause: error });
    });
  }

  async ledger(): Promise<Ledger> {
    const one = async (text: string): Promise<number> => Number((await this.pool.query<{ n: string }>(text)).rows[0]?.n);
    const missing = (kind: string) =>
      one(`select count(*) as n from orders o where not exists (select 1 from lines l where l.order_id = o.id and l.kind = '${kind}')`);
    return {
      orders: await this.#count('orders'),
      missing: { charge: await missing('charge'), mail: await missing('mail') },
      doubled: await one('select count(*) as n from (select 1 from lines group by order_id, kind having count(*) > 1) d'),
      strangers: await one('select count(*) as n from lines l where not exists (select 1 from orders o where o.id = l.order_id)'),
      dead: (await this.app.inspector.queues()).reduce((sum, { dead }) => sum + dead, 0),
    };
  }

  get complaints(): string {
    return this.#children.map(({ role, child }) => `${role}: ${child.errors.slice(-1_000)}`).join('\n');
  }

  async #fault(kind: (typeof faults)[number]): Promise<void> {
    this.faults.push(kind);
    if (kind === 'broker') {
      await this.#options.broker.crash();
      await sleep(200);
      return this.#options.broker.start();
    }
    const role = kind === 'freeze' ? 'worker' : kind;
    const candidates = this.#children.filter((one) => one.role === role);
    const victim = candidates[Math.floor(this.#options.random() * candidates.length)];
    if (victim === undefined) return;
    if (kind !== 'freeze') return victim.child.kill('SIGKILL');
    victim.child.kill('SIGSTOP');
    this.#thaws.push(sleep(leaseMs * (0.5 + 2 * this.#options.random())).then(() => victim.child.kill('SIGCONT')));
  }

  #start(role: string, options: object = {}): void {
    const { broker, database } = this.#options;
    const child = new Child('fault-shop.mjs', {
      role,
      brokerUrl: broker.url,
      namespace: this.#namespace,
      databaseUrl: database.url(),
      lease: `${leaseMs}ms`,
      rolledBack,
      ...options,
    });
    const one = { role, child };
    this.#children.push(one);
    // Whoever ends is replaced at once.
    void child.exited.then(() => {
      this.#children.splice(this.#children.indexOf(one), 1);
      if (this.#closed) return;
      if (role !== 'client') this.#start(role);
      else if (!this.#over) this.#client();
    });
  }

  #client(): void {
    this.#start('client', { from: this.#from, count: chunk });
    this.#from += chunk;
  }

  /** The database may be the server that is being killed. */
  #count(table: string): Promise<number> {
    return eventually(
      () =>
        this.pool.query<{ n: string }>(`select count(*) as n from ${table}`).then(
          ({ rows }) => Number(rows[0]?.n),
          () => undefined,
        ),
      'the database answers',
    );
  }

  async #end(): Promise<void> {
    this.#closed = true;
    const children = this.#children.splice(0);
    await Promise.all(children.map(({ child }) => child.end()));
    await this.app.close();
    await this.pool.end();
  }
}
