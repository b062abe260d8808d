/**
 * The double-entry ledger. What is booked sums to zero in each currency and is never changed; a key makes that nothing is booked
 * twice. Positive amounts are debits, negative ones credits.
 *
 *   gateway             what the payment provider holds for us: captured, less what was given back
 *   escrow:<order>      of that, what belongs to neither side before the parts are accepted
 *   payable:<maker>     what a manufacturer is owed
 *   bank                what was paid out to manufacturers
 *   fees                what the platform has earned
 *   chargeback:<order>  what the buyer's bank has taken back after it was paid out, until somebody bears it
 */
import { type Kysely, sql, type Transaction } from 'kysely';
import type { PlatformDatabase } from '../database/database.ts';
import type { PlatformTables } from '../database/tables.ts';
import { type Money, money, negated, share, subtract } from '../money/money.ts';

export interface Entry {
  readonly account: string;
  readonly amount: Money;
}

export interface Booking {
  /** Such as `capture:12`. Of bookings with one key only the first is made. */
  readonly key: string;
  readonly kind: 'capture' | 'refund' | 'accept' | 'cancel' | 'payout' | 'chargeback' | 'won_back';
  readonly order: number;
  readonly entries: readonly Entry[];
}

/** The platform's part of what a manufacturer earns, in hundredths of a percent. */
const feeBasisPoints = 1_000;

/** @param net what the manufacturer earns, without tax */
export function platformFee(net: Money): Money {
  return share(net, feeBasisPoints);
}

/** Entries that do not sum to zero. */
export class LedgerError extends Error {
  override readonly name = 'LedgerError';
  readonly code = 'UNBALANCED';
}

/**
 * Books in the caller's transaction.
 *
 * @returns false when the key was booked before: nothing is added then
 * @throws LedgerError when the entries do not sum to zero in each currency
 */
export async function book(transaction: Transaction<PlatformTables>, { key, kind, order, entries }: Booking): Promise<boolean> {
  const moved = entries.filter(({ amount }) => amount.minor !== 0);
  const sums = new Map<string, number>();
  for (const { amount } of moved) sums.set(amount.currency, (sums.get(amount.currency) ?? 0) + amount.minor);
  if ([...sums.values()].some((sum) => sum !== 0)) throw new LedgerError(`the entries of a ${kind} do not sum to zero`);
  const made = await transaction
    .insertInto('ledger_transactions')
    .values({ key, kind, order_id: order })
    .onConflict((conflict) => conflict.column('key').doNothing())
    .returning('id')
    .executeTakeFirst();
  if (made === undefined) return false;
  if (moved.length > 0) {
    await transaction
      .insertInto('ledger_entries')
      .values(
        moved.map(({ account, amount }, place) => ({
          transaction_id: made.id,
          place,
          account,
          currency: amount.currency,
          amount_minor: amount.minor,
        })),
      )
      .execute();
  }
  return true;
}

const escrow = (order: number) => `escrow:${order}`;

/** Money has come in for an order. */
export function captured(order: number, payment: number, amount: Money): Booking {
  return {
    key: `capture:${payment}`,
    kind: 'capture',
    order,
    entries: [
      { account: 'gateway', amount },
      { account: escrow(order), amount: negated(amount) },
    ],
  };
}

/** It has gone back to the buyer. @param held in escrow; see takenFrom() */
export function refunded(order: number, refund: number, amount: Money, held: Money): Booking {
  return { key: `refund:${refund}`, kind: 'refund', order, entries: takenFrom(order, amount, held) };
}

/** The buyer's bank has taken it back. @param held in escrow; see takenFrom() */
export function chargedBack(order: number, dispute: string, amount: Money, held: Money): Booking {
  return { key: `chargeback:${dispute}`, kind: 'chargeback', order, entries: takenFrom(order, amount, held) };
}

/** Out of the escrow, as far as it is there. What was paid out by then is open: a person decides who bears it. */
function takenFrom(order: number, amount: Money, held: Money): readonly Entry[] {
  const covered = money(Math.max(0, Math.min(amount.minor, held.minor)), amount.currency);
  return [
    { account: escrow(order), amount: covered },
    { account: `chargeback:${order}`, amount: subtract(amount, covered) },
    { account: 'gateway', amount: negated(amount) },
  ];
}

/** The bank has returned it: all goes back to where it was taken from. @returns undefined when it was never booked */
export async function wonBack(transaction: Transaction<PlatformTables>, order: number, dispute: string): Promise<Booking | undefined> {
  const taken = await transaction
    .selectFrom('ledger_entries')
    .innerJoin('ledger_transactions', 'ledger_transactions.id', 'ledger_entries.transaction_id')
    .select(['account', 'amount_minor', 'currency'])
    .where('key', '=', `chargeback:${dispute}`)
    .orderBy('place')
    .execute();
  if (taken.length === 0) return undefined;
  const entries = taken.map(({ account, amount_minor, currency }) => ({ account, amount: money(-amount_minor, currency) }));
  return { key: `won-back:${dispute}`, kind: 'won_back', order, entries };
}

/**
 * What is in escrow goes to the manufacturer, who owes the tax in it, less the platform's fee.
 *
 * @param time 1, but for what becomes free only after the order was paid out
 */
export function accepted(order: number, manufacturer: number, amount: Money, fee: Money, time = 1): Booking {
  return {
    key: `accept:${timeOf(order, time)}`,
    kind: 'accept',
    order,
    entries: [
      { account: escrow(order), amount },
      { account: 'fees', amount: negated(fee) },
      { account: `payable:${manufacturer}`, amount: negated(subtract(amount, fee)) },
    ],
  };
}

/** The buyer has cancelled late: what that costs goes the same way. */
export function cancelled(order: number, manufacturer: number, cost: Money): Booking {
  return { ...accepted(order, manufacturer, cost, platformFee(cost)), key: `cancel:${order}`, kind: 'cancel' };
}

/** @param what `7` of order 7, `7:2` the second time, `cancel:7` of its cancellation */
export function paidOut(order: number, manufacturer: number, amount: Money, what: string): Booking {
  return {
    key: `payout:${what}`,
    kind: 'payout',
    order,
    entries: [
      { account: `payable:${manufacturer}`, amount },
      { account: 'bank', amount: negated(amount) },
    ],
  };
}

export function timeOf(order: number, time: number): string {
  return time === 1 ? String(order) : `${order}:${time}`;
}

type Reader = PlatformDatabase | Kysely<PlatformTables>;

/** What an account holds; debits are positive. */
export async function balanceOf(database: Reader, account: string, currency: string): Promise<Money> {
  const { sum } = await database
    .selectFrom('ledger_entries')
    .select(sql<string | null>`sum(amount_minor)`.as('sum'))
    .where('account', '=', account)
    .where('currency', '=', currency)
    .executeTakeFirstOrThrow();
  return money(Number(sum ?? 0), currency);
}

/** What the buyer's money in escrow is: never below zero. */
export async function inEscrow(database: Reader, order: number, currency: string): Promise<Money> {
  return negated(await balanceOf(database, escrow(order), currency));
}

/** Of all accounts, by currency; each is zero, or something is broken. */
export async function trialBalance(database: Reader): Promise<Readonly<Record<string, number>>> {
  const rows = await database
    .selectFrom('ledger_entries')
    .select(['currency', sql<string>`sum(amount_minor)`.as('sum')])
    .groupBy('currency')
    .execute();
  return Object.fromEntries(rows.map(({ currency, sum }) => [currency, Number(sum)]));
}
