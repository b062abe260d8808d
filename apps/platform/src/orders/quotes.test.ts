import { describe, expect, it } from 'vitest';
import { withDatabase } from '../../test/database.ts';
import { newManufacturer, newOrder, newUser } from '../../test/marketplace.ts';
import { ordersScene } from '../../test/orders-scene.ts';
import type { PlatformDatabase } from '../database/database.ts';
import { money } from '../money/money.ts';
import { lockOrder } from './orders.ts';
import { Quotes, quoteForMs, requestQuotes, withdrawQuotes } from './quotes.ts';

let database: PlatformDatabase;
withDatabase((opened) => {
  database = opened;
});

const week = '2030-W10';

/** An order that some manufacturers were asked about. */
async function asked(values: Parameters<typeof newOrder>[1] = {}, makers = 2) {
  const time = { now: Date.now() };
  const scene = ordersScene(database);
  const manufacturers = await Promise.all(Array.from({ length: makers }, () => newManufacturer(database, { weeks: [week] })));
  const buyer = await newUser(database);
  const order = await newOrder(database, { mode: 'rfq', buyer_id: buyer, ...values });
  await scene.events(order, 'submit', 'source');
  const request = () =>
    scene.inTransaction(async (transaction) =>
      requestQuotes(
        transaction,
        await lockOrder(transaction, order),
        manufacturers.map(({ id }) => id),
        time.now,
      ),
    );
  const made = await request();
  const quotes = new Quotes(scene.orders, 'UTC', () => time.now);
  const mine = manufacturers.map(({ id, user }) => ({
    user,
    maker: id,
    quote: made.find(({ manufacturer_id }) => manufacturer_id === id)?.id ?? 0,
  }));
  const [first, second] = mine as [(typeof mine)[0], (typeof mine)[0]];
  const submit = ({ quote, user }: typeof first, minor: number) =>
    scene.inTransaction((transaction) => quotes.submit(transaction, quote, user, money(minor, 'EUR'), [{ week, minutes: 60 }]));
  const award = (quote: number, minor: number, by = buyer) =>
    scene.inTransaction((transaction) => quotes.award(transaction, quote, by, money(minor, 'EUR')));
  const states = async () =>
    (await database.selectFrom('quotes').select('state').where('order_id', '=', order).orderBy('id').execute()).map(({ state }) => state);
  return { ...scene, time, order, quotes, first, second, submit, award, states, request };
}

describe('quotes', () => {
  it('the buyer awards one, at its price, and the others are lost', async () => {
    const { submit, award, first, second, states, enqueued, order } = await asked();
    expect(await submit(first, 5_000)).toMatchObject({ state: 'quoted', version: 3 });
    await submit(second, 4_000);
    enqueued.length = 0;
    expect(await award(second.quote, 4_000)).toMatchObject({ state: 'awarded', manufacturer_id: second.maker, price_minor: 4_000 });
    expect(await states()).toEqual(['lost', 'awarded']);
    expect(enqueued).toEqual([`authorise:${order}`, `notify:${order}`]);
    await expect(award(first.quote, 5_000)).rejects.toMatchObject({ code: 'QUOTE_OVER' });
  });

  it('a quote can be bettered until it is awarded', async () => {
    const { submit, award, first } = await asked();
    await submit(first, 5_000);
    await submit(first, 4_500);
    expect(await award(first.quote, 4_500)).toMatchObject({ price_minor: 4_500 });
    await expect(submit(first, 4_000)).rejects.toMatchObject({ code: 'QUOTE_OVER', message: 'this quote is awarded' });
  });

  it('binds nobody to a price that he has not seen', async () => {
    const { submit, award, first, read, order } = await asked();
    await submit(first, 10_000);
    await submit(first, 100_000);
    await expect(award(first.quote, 10_000)).rejects.toMatchObject({
      code: 'PRICE_CHANGED',
      message: 'the price of this quote is 1,000.00 EUR now: read it again',
    });
    expect(await read(order)).toMatchObject({ state: 'quoted', price_minor: null });
    expect(await award(first.quote, 100_000)).toMatchObject({ price_minor: 100_000 });
  });

  it('is not more than the budget', async () => {
    const { submit, first } = await asked({ budget_minor: 5_000 });
    await expect(submit(first, 5_001)).rejects.toMatchObject({ code: 'OVER_BUDGET' });
    expect(await submit(first, 5_000)).toMatchObject({ state: 'quoted' });
  });

  it('is bettered nine times at most, each time that it is asked for', async () => {
    const { submit, first, time, events, request, order } = await asked();
    for (let times = 0; times < 10; times += 1) await submit(first, 5_000 - times);
    await expect(submit(first, 4_000)).rejects.toMatchObject({ code: 'QUOTED_TOO_OFTEN' });
    time.now += quoteForMs;
    await events(order, 'match_again', 'source');
    await request();
    expect(await submit(first, 4_000)).toMatchObject({ state: 'quoted' });
  });

  it('names weeks from now on until the order is due', async () => {
    const { inTransaction, quotes, first, time } = await asked({ due_on: '2030-03-08' });
    time.now = Date.parse('2030-02-25T12:00:00Z');
    await database
      .updateTable('quotes')
      .set({ expires_at: new Date(time.now + quoteForMs) })
      .where('id', '=', first.quote)
      .execute();
    const submitIn = (one: string) =>
      inTransaction((transaction) => quotes.submit(transaction, first.quote, first.user, money(1, 'EUR'), [{ week: one, minutes: 60 }]));
    for (const one of ['2030-W08', '2030-W11']) await expect(submitIn(one)).rejects.toThrow('from 2030-W09 to 2030-W10');
    for (const one of ['2030-W09', '2030-W10']) expect(await submitIn(one)).toMatchObject({ state: 'quoted' });
  });

  it('is refused in another currency, from somebody else, and too late', async () => {
    const { inTransaction, quotes, first, second, time, submit } = await asked();
    await expect(
      inTransaction((transaction) => quotes.submit(transaction, first.quote, first.user, money(1, 'USD'), [{ week, minutes: 60 }])),
    ).rejects.toMatchObject({ code: 'INVALID_AMOUNT' });
    for (const uses of [
      [],
      [{ week, minutes: 59 }],
      [
        { week, minutes: 30 },
        { week, minutes: 30 },
      ],
    ]) {
      await expect(
        inTransaction((transaction) => quotes.submit(transaction, first.quote, first.user, money(1, 'EUR'), uses)),
      ).rejects.toMatchObject({ code: 'WRONG_HOURS' });
    }
    await expect(submit({ ...first, user: second.user }, 1)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    time.now += quoteForMs;
    await expect(submit(first, 1)).rejects.toThrow('the time for quotes is over');
  });

  it('nobody awards the quotes of another buyer, nor one that was not given', async () => {
    const { award, first, second, submit } = await asked();
    await submit(first, 5_000);
    await expect(award(first.quote, 5_000, await newUser(database))).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(award(second.quote, 5_000)).rejects.toMatchObject({ code: 'QUOTE_OVER' });
  });

  it('declined: it cannot be awarded', async () => {
    const { inTransaction, quotes, first, states, award } = await asked();
    await inTransaction((transaction) => quotes.decline(transaction, first.quote, first.user));
    expect(await states()).toEqual(['declined', 'requested']);
    await expect(award(first.quote, 5_000)).rejects.toMatchObject({ code: 'QUOTE_OVER' });
  });

  it('declined by the last one who was asked: the order is matched again at once', async () => {
    const { inTransaction, quotes, first, second, submit, enqueued, read, order } = await asked();
    const decline = ({ quote, user }: typeof first) => inTransaction((transaction) => quotes.decline(transaction, quote, user));
    await submit(first, 5_000);
    enqueued.length = 0;
    await decline(second);
    expect([(await read(order)).state, enqueued]).toEqual(['quoted', []]);
    await decline(first);
    expect([(await read(order)).state, enqueued]).toEqual(['submitted', [`match:${order}`]]);
  });

  it('asks nobody twice', async () => {
    const { request, states } = await asked();
    expect(await request()).toEqual([]);
    expect(await states()).toEqual(['requested', 'requested']);
  });

  it('asks those again whose time was over, when the order is matched again', async () => {
    const { request, states, submit, first, time, award, events, order } = await asked();
    await submit(first, 5_000);
    time.now += quoteForMs;
    await events(order, 'match_again', 'source');
    expect(await request()).toHaveLength(2);
    expect(await states()).toEqual(['requested', 'requested']);
    await submit(first, 6_000);
    expect(await award(first.quote, 6_000)).toMatchObject({ price_minor: 6_000 });
  });

  it('withdrawn: the hours of the awarded one are free again', async () => {
    const { submit, award, first, order, inTransaction, states, time } = await asked();
    await submit(first, 5_000);
    await award(first.quote, 5_000);
    for (const _ of [1, 2]) {
      await inTransaction(async (transaction) => withdrawQuotes(transaction, await lockOrder(transaction, order), time.now));
    }
    expect(await states()).toEqual(['lost', 'lost']);
    const { booked_minutes } = await database
      .selectFrom('capacity')
      .select('booked_minutes')
      .where('manufacturer_id', '=', first.maker)
      .executeTakeFirstOrThrow();
    expect(booked_minutes).toBe(0);
  });
});
