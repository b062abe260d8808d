import { sql } from 'kysely';
import { describe, expect, it } from 'vitest';
import { withDatabase } from '../../test/database.ts';
import { newOrder } from '../../test/marketplace.ts';
import type { PlatformDatabase } from '../database/database.ts';
import { money, parseAmount } from '../money/money.ts';
import {
  accepted,
  balanceOf,
  book,
  cancelled,
  captured,
  chargedBack,
  inEscrow,
  LedgerError,
  paidOut,
  platformFee,
  refunded,
  trialBalance,
} from './ledger.ts';

let database: PlatformDatabase;
withDatabase((opened) => {
  database = opened;
});

const booked = (...[booking]: [Parameters<typeof book>[1]]) => database.transaction().execute((transaction) => book(transaction, booking));

const eur = (amount: string) => parseAmount(amount, 'EUR');

describe('the ledger', () => {
  it('follows the money of an order from its capture to the payout, and sums to zero', async () => {
    const order = await newOrder(database);
    await booked(captured(order, 1, eur('100.05')));
    expect(await inEscrow(database, order, 'EUR')).toEqual(eur('100.05'));
    await booked(refunded(order, 1, eur('10.00'), eur('10.00')));
    await booked(accepted(order, 7, eur('90.05'), platformFee(eur('75.04'))));
    expect(await inEscrow(database, order, 'EUR')).toEqual(eur('0'));
    expect(await balanceOf(database, 'fees', 'EUR')).toEqual(money(-750, 'EUR'));
    expect(await balanceOf(database, 'payable:7', 'EUR')).toEqual(money(-8_255, 'EUR'));
    await booked(paidOut(order, 7, money(8_255, 'EUR'), String(order)));
    expect(await balanceOf(database, 'payable:7', 'EUR')).toEqual(eur('0'));
    expect(await balanceOf(database, 'gateway', 'EUR')).toEqual(eur('90.05'));
    expect(await trialBalance(database)).toEqual({ EUR: 0 });
  });

  it('books a key once', async () => {
    const order = await newOrder(database);
    expect(await booked(captured(order, 2, money(500, 'JPY')))).toBe(true);
    expect(await booked(captured(order, 2, money(500, 'JPY')))).toBe(false);
    expect(await inEscrow(database, order, 'JPY')).toEqual(money(500, 'JPY'));
    expect(await booked(cancelled(order, 7, money(50, 'JPY')))).toBe(true);
    expect(await booked(chargedBack(order, 'dp_2', money(450, 'JPY'), money(450, 'JPY')))).toBe(true);
    expect(await balanceOf(database, 'gateway', 'JPY')).toEqual(money(50, 'JPY'));
  });

  it('refuses what does not sum to zero, here and in the database', async () => {
    const order = await newOrder(database);
    const entries = [
      { account: 'gateway', amount: eur('1') },
      { account: 'bank', amount: money(-100, 'USD') },
    ];
    await expect(booked({ key: `unbalanced:${order}`, kind: 'payout', order, entries })).rejects.toThrow(LedgerError);
    const direct = database.transaction().execute(async (transaction) => {
      const { id } = await transaction
        .insertInto('ledger_transactions')
        .values({ key: `direct:${order}`, kind: 'payout', order_id: order })
        .returning('id')
        .executeTakeFirstOrThrow();
      await transaction
        .insertInto('ledger_entries')
        .values({ transaction_id: id, place: 0, account: 'bank', currency: 'EUR', amount_minor: 1 })
        .execute();
    });
    await expect(direct).rejects.toThrow('does not sum to zero');
  });

  it('is never changed', async () => {
    const order = await newOrder(database);
    await booked(captured(order, 3, eur('1')));
    await expect(sql`update platform.ledger_entries set amount_minor = 2`.execute(database)).rejects.toThrow('never changed');
    await expect(database.deleteFrom('ledger_transactions').execute()).rejects.toThrow('never changed');
  });
});
