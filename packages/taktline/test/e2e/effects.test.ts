/**
 * Effects that are made once, whatever runs again: what a second call gets, what a failed or rolled back one leaves, which keys are
 * the same, what is refused, and which attempt may make one.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { TaskContext, TaskOptions } from '../../src/index.ts';
import { Effects } from '../../src/outbox/effects.ts';
import { AppDatabase } from '../support/app-database.ts';
import { type Harness, harness, onEachBroker } from '../support/harness.ts';
import { polled } from '../support/polled.ts';

const input = z.object({ order: z.number() });
type Input = typeof input;
type Run = TaskOptions<Input, unknown>['run'];

let database: AppDatabase;

function withDatabase(h: Harness): void {
  beforeEach(async () => {
    database = await AppDatabase.make('beside');
    await database.query('create table $outbox.lines (order_id integer not null)');
  });
  afterEach(async () => {
    await h.end();
    await database.drop();
  });
}

interface Client {
  query(text: string, values: unknown[]): Promise<unknown>;
}

/** The effect of these tests. */
const line = (client: Client, order: number) =>
  client.query(`insert into "${database.schema}".lines (order_id) values ($1)`, [order]).then(() => order);
const lines = async () => (await database.query<{ n: number }>('select order_id as n from $outbox.lines order by n')).map(({ n }) => n);
const stored = async () =>
  (await database.query<{ effect: string }>(`select task || ' ' || key as effect from $outbox.effects order by 1`)).map(
    ({ effect }) => effect,
  );

/** A task that is tried three times, and a worker that runs it. */
async function scene(h: Harness, run: Run, options: Partial<TaskOptions<Input, unknown>> = {}) {
  const app = h.app({ outbox: database.settings });
  const retry = { maxAttempts: 3, backoff: { type: 'fixed', delay: 1 } } as const;
  const task = app.task({ name: 'pay', queue: 'work', input, retry, ...options, run });
  await h.work(app);
  const result = async (order: number) => (await task.delay({ order })).result();
  return { app, result };
}

onEachBroker('effects', (h) => {
  withDatabase(h);

  it('an attempt that failed after its commit: the next one gets its outcome and makes nothing', async () => {
    let calls = 0;
    const { result } = await scene(h, async ({ order }, ctx) => {
      const outcome = await database.transaction((client) =>
        ctx.once(client, 'charge', async () => {
          calls += 1;
          await line(client, order);
          return { charged: new Date(0), attempt: ctx.attempt };
        }),
      );
      if (ctx.attempt === 1) throw new Error('after its commit');
      return { outcome, attempt: ctx.attempt };
    });
    expect(await result(7)).toEqual({ outcome: { charged: '1970-01-01T00:00:00.000Z', attempt: 1 }, attempt: 2 });
    expect([calls, await lines()]).toEqual([1, [7]]);
  });

  it('one that was rolled back is made by the next attempt', async () => {
    const { result } = await scene(h, (_, ctx) =>
      database.transaction(async (client) => {
        await ctx.once(client, 'charge', () => line(client, ctx.attempt));
        if (ctx.attempt < 3) throw new Error('before its commit');
        return ctx.attempt;
      }),
    );
    expect(await result(7)).toBe(3);
    expect([await lines(), await stored()]).toEqual([[3], ['pay charge']]);
  });

  it('one that throws leaves nothing, and its error is told as it is', async () => {
    const thrown = new Error('the bank is closed');
    const heard: unknown[] = [];
    const { result } = await scene(h, async ({ order }, ctx) => {
      const once = database.transaction((client) =>
        ctx.once(client, 'charge', async () => {
          await line(client, order);
          if (ctx.attempt === 1) throw thrown;
          // What has failed in the database fails the whole transaction.
          if (ctx.attempt === 2) await client.query('select 1 / 0');
        }),
      );
      await once.catch((error: unknown) => heard.push(error));
      if (ctx.attempt < 3) throw new Error(JSON.stringify([await lines(), await stored()]));
      return once;
    });
    expect(await result(7)).toBeNull();
    expect([heard[0], (heard[1] as { code: string }).code]).toEqual([thrown, '22012']);
    expect([await lines(), await stored()]).toEqual([[7], ['pay charge']]);
  });

  it('one that throws and whose caller commits all the same is made by the next attempt', async () => {
    const left: unknown[] = [];
    const { result } = await scene(h, async ({ order }, ctx) => {
      const outcome = await database.transaction((client) =>
        ctx
          .once(client, 'charge', () => {
            if (ctx.attempt === 1) throw new Error('the bank is closed');
            return line(client, order);
          })
          .catch(() => undefined),
      );
      left.push(await stored());
      if (outcome === undefined) throw new Error('not made');
      return outcome;
    });
    expect(await result(7)).toBe(7);
    expect([left, await lines()]).toEqual([[[], ['pay charge']], [7]]);
  });
});

describe('keys of effects', () => {
  const h = harness();
  withDatabase(h);

  it('two of one job are two effects; one of two jobs of a task is one; in two tasks it is two', async () => {
    const app = h.app({ outbox: database.settings });
    const task = (name: string) =>
      app.task({
        name,
        queue: 'work',
        input,
        run: ({ order }, ctx) =>
          database.transaction(async (client) => [
            await ctx.once(client, 'first', () => line(client, order)),
            await ctx.once(client, 'second', () => line(client, order * 10)),
          ]),
      });
    const [pay, book] = [task('pay'), task('book')];
    await h.work(app);
    expect(await (await pay.delay({ order: 1 })).result()).toEqual([1, 10]);
    expect(await (await pay.delay({ order: 2 })).result()).toEqual([1, 10]);
    expect(await (await book.delay({ order: 3 })).result()).toEqual([3, 30]);
    expect(await lines()).toEqual([1, 3, 10, 30]);
    expect(await stored()).toEqual(['book first', 'book second', 'pay first', 'pay second']);
  });

  it('ten jobs of one key at once make one effect, and have one outcome', async () => {
    const { result } = await scene(h, ({ order }, ctx) =>
      database.transaction((client) => ctx.once(client, 'the same', () => line(client, order))),
    );
    const outcomes = await Promise.all(Array.from({ length: 10 }, (_, order) => result(order)));
    expect(await lines()).toEqual([...new Set(outcomes)]);
  });

  it("ctx.effectKey is what the task's effectKey makes of the checked input, else the job's id", async () => {
    const app = h.app({ outbox: database.settings });
    const keyed = app.task({
      name: 'keyed',
      queue: 'work',
      input: z.object({ order: z.coerce.number(), shop: z.string().default('berlin') }),
      effectKey: ({ order, shop }) => `${shop} ${order + 1}`,
      run: (_, ctx) => ctx.effectKey,
    });
    const plain = app.task({ name: 'plain', queue: 'work', run: (_, ctx) => ctx.effectKey });
    const broken = app.task({
      name: 'broken',
      queue: 'work',
      retry: { maxAttempts: 1 },
      effectKey: () => '',
      run: (_, ctx) => ctx.effectKey,
    });
    await h.work(app);
    expect(await (await keyed.delay({ order: '41' })).result()).toBe('berlin 42');
    const handle = await plain.delay();
    expect(await handle.result()).toBe(handle.id);
    await expect((await broken.delay()).result()).rejects.toMatchObject({ cause: { code: 'INVALID_OPTION' } });
  });

  it('a key of 500 characters of any kind is one; others are refused, and no effect is made', async () => {
    const told: unknown[] = [];
    const long = '\u{1f600}'.repeat(250);
    const { result } = await scene(h, ({ order }, ctx) =>
      database.transaction(async (client) => {
        for (const key of ['', 'k'.repeat(501), 'a\0b', 7 as unknown as string])
          told.push(await ctx.once(client, key, () => line(client, order)).catch((error: unknown) => error));
        return ctx.once(client, long, () => line(client, order));
      }),
    );
    expect(await result(7)).toBe(7);
    for (const error of told) expect(error).toMatchObject({ code: 'INVALID_OPTION', message: expect.stringContaining('key') as string });
    expect([told.length, await lines(), await stored()]).toEqual([4, [7], [`pay ${long}`]]);
  });

  it('old ones are forgotten by a relay, younger ones are not', async () => {
    const app = h.app({ outbox: { ...database.settings, effectsTtl: '30d' } });
    await database.query(
      `insert into $outbox.effects (task, key, job, fence, at)
       select 'pay', n::text, 'a', 1, $outbox.now_ms() - n * 86400000 from unnest($1::bigint[]) n`,
      [[1, 29, 31, 90]],
    );
    await app.relay().start();
    await polled(stored).toEqual(['pay 1', 'pay 29']);
  });
});

describe('what an effect is made in', () => {
  const h = harness();
  withDatabase(h);

  /** What a job hears that makes an effect so. */
  async function heard(once: (ctx: TaskContext) => Promise<unknown>, outbox = database.settings): Promise<unknown> {
    const app = h.app({ outbox });
    const told: unknown[] = [];
    const run = (_: unknown, ctx: TaskContext) =>
      once(ctx).then(
        (value) => told.push(value),
        (error: unknown) => told.push(error),
      );
    const task = app.task({ name: 'pay', queue: 'work', run });
    await h.work(app);
    await (await task.delay()).result();
    await app.close();
    expect(told).toHaveLength(1);
    return told[0];
  }

  it('a pool, and a client without a transaction, are refused', async () => {
    const code = { code: 'OUTBOX_TRANSACTION' };
    expect(await heard((ctx) => ctx.once(database.pool, 'k', () => line(database.pool, 1)))).toMatchObject(code);
    const closed = await database.transaction((client) => Promise.resolve(client));
    expect(await heard((ctx) => ctx.once(closed, 'k', () => line(closed, 1)))).toMatchObject({
      ...code,
      message: expect.stringContaining('no transaction is open') as string,
    });
    expect(await heard((ctx) => ctx.once({} as typeof closed, 'k', () => 1))).toMatchObject(code);
    expect([await lines(), await stored()]).toEqual([[], []]);
  });

  it('a transaction of Kysely makes one, and its instance does not', async () => {
    const db = database.kysely();
    const insert = (transaction: typeof db) =>
      transaction
        .insertInto(database.orders as 'orders')
        .values({ id: 1, jobCount: 2 })
        .execute();
    const made = await heard((ctx) =>
      db.transaction().execute((transaction) => ctx.once(transaction, 'k', () => insert(transaction).then(() => 'made'))),
    );
    expect([made, await stored()]).toEqual(['made', ['pay k']]);
    expect(await heard((ctx) => ctx.once(db, 'l', () => insert(db)))).toMatchObject({ code: 'OUTBOX_TRANSACTION' });
  });

  it('without the tables it says what to do', async () => {
    const schema = `${database.schema}_none`;
    const once = (ctx: TaskContext) => database.transaction((client) => ctx.once(client, 'k', () => line(client, 1)));
    expect(await heard(once, { ...database.settings, schema })).toMatchObject({
      code: 'OUTBOX_SCHEMA',
      message: expect.stringMatching(`migrateOutbox.*"${schema}"`) as string,
    });
  });

  it.each([
    ['a BigInt', 1n],
    ['a function', () => 1],
  ])('an outcome that is %s is refused, and nothing is left', async (_, outcome) => {
    const once = (ctx: TaskContext) =>
      database.transaction((client) => ctx.once<unknown>(client, 'k', () => line(client, 1).then(() => outcome)));
    expect(await heard(once)).toMatchObject({ code: 'INVALID_INPUT', message: expect.stringContaining('outcome of effect "k"') as string });
    expect([await lines(), await stored()]).toEqual([[], []]);
  });

  it('the transaction does not stand still for longer than the lease, and a shorter time of its owner stays', async () => {
    const shown = async (before: string) =>
      database.transaction(async (client) => {
        await client.query(`set local idle_in_transaction_session_timeout = '${before}'`);
        await new Effects(database.schema).once(maker(1, { leaseMs: 1_500 }), client, before, () => 1);
        return (await client.query<{ t: string }>(`select current_setting('idle_in_transaction_session_timeout') as t`)).rows[0]?.t;
      });
    for (const long of ['0', '2s', '1min']) expect(await shown(long)).toBe('1500ms');
    for (const short of ['1s', '1499ms']) expect(await shown(short)).toBe(short);
    const [after] = await database.query<{ t: string }>(`select current_setting('idle_in_transaction_session_timeout') as t`);
    expect(after?.t).toBe('0');
  });
});

describe('which attempt makes an effect', () => {
  const h = harness();
  withDatabase(h);

  const once = (
    who: ReturnType<typeof maker>,
    key: string,
    effect: (client: Client) => Promise<unknown> = (client) => line(client, who.fence),
  ) => database.transaction((client) => new Effects(database.schema).once(who, client, key, () => effect(client)));

  it('an earlier one makes none, of whatever key, once a later one has made one', async () => {
    const [first, second] = [maker(100), maker(200)];
    expect(await once(second, 'a')).toBe(200);
    const refused = { code: 'LEASE_LOST', jobId: 'job' };
    // An attempt that has not heard of it each time.
    for (const key of ['a', 'b']) await expect(once(maker(100), key)).rejects.toMatchObject(refused);
    await expect(once(first, 'b')).rejects.toMatchObject(refused);
    expect(first.attempt.stopReason).toMatchObject({ code: 'LEASE_LOST' });
    expect(await once(second, 'b')).toBe(200);
    expect(await once(maker(100, { id: 'another job' }), 'c')).toBe(100);
    expect(await lines()).toEqual([100, 200, 200]);
  });

  it('one that waits for a later one that makes the same gets none of it', async () => {
    const [first, second] = [maker(100), maker(200)];
    const waiting = await database.transaction(async (client) => {
      await new Effects(database.schema).once(second, client, 'a', () => line(client, 200));
      const early = once(first, 'a').catch((error: unknown) => error);
      const blocked = `select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%"${database.schema}".once%'`;
      await polled(async () => (await database.query(blocked)).length).toBe(1);
      return { early };
    });
    expect(await waiting.early).toMatchObject({ code: 'LEASE_LOST' });
    expect(await lines()).toEqual([200]);
  });

  it('one that was not waited for is not taken for made: what it came to is not known', async () => {
    const effects = new Effects(database.schema);
    const refused = { code: 'OUTBOX_TRANSACTION', message: expect.stringContaining('wait for the promise') as string };
    await database.transaction(async (client) => {
      const inside = () => effects.once(maker(100), client, 'a', () => line(client, 2));
      expect(await effects.once(maker(100), client, 'a', () => inside().catch((error: unknown) => (error as Error).message))).toContain(
        'wait',
      );
    });
    // As a process leaves it that has ended between the commit and the effect.
    await database.query(`insert into $outbox.effects (task, key, job, fence, at) values ('pay', 'c', 'job', 1, 1)`);
    await expect(once(maker(200), 'c')).rejects.toMatchObject(refused);
    expect(await lines()).toEqual([]);
  });

  it('one that is told to stop makes none; its transaction commits nothing, whoever tries', async () => {
    const stopped = maker(100);
    stopped.attempt.abort(new Error('stop'));
    await expect(once(stopped, 'a')).rejects.toThrow('stop');
    expect(await lines()).toEqual([]);
    const late = maker(100);
    const stopping = async (client: Client) => {
      late.attempt.abort(new Error('stop'));
      return line(client, 1);
    };
    await expect(once(late, 'a', stopping)).rejects.toThrow('stop');
    expect([await lines(), await stored()]).toEqual([[], []]);
    const stubborn = maker(100);
    await database.transaction(async (client) => {
      const effect = () => {
        stubborn.attempt.abort(new Error('stop'));
        return line(client, 1);
      };
      await expect(new Effects(database.schema).once(stubborn, client, 'a', effect)).rejects.toThrow('stop');
      // It commits.
    });
    expect([await lines(), await stored()]).toEqual([[], []]);
    expect(await once(maker(200), 'a')).toBe(200);
    expect(await lines()).toEqual([200]);
    const zombie = maker(100);
    await database.transaction(async (client) => {
      await line(client, 1);
      await expect(new Effects(database.schema).once(zombie, client, 'b', () => line(client, 2))).rejects.toMatchObject({
        code: 'LEASE_LOST',
      });
      // It commits.
    });
    expect(await lines()).toEqual([200]);
  });
});

/** An attempt of a job, claimed at `fence`. */
function maker(fence: number, { id = 'job', leaseMs = 30_000 } = {}) {
  const attempt = {
    id,
    task: 'pay',
    stopReason: undefined as Error | undefined,
    abort(reason: Error) {
      attempt.stopReason ??= reason;
    },
  };
  return { attempt, fence, leaseMs };
}
