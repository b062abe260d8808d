/** Profiles that are put while orders book hours; what a profile may hold is tested with the API. */
import { sql } from 'kysely';
import { describe, expect, it } from 'vitest';
import { withDatabase } from '../../test/database.ts';
import { newManufacturer, newOrder, newUser } from '../../test/marketplace.ts';
import { patience } from '../../test/patience.ts';
import type { PlatformDatabase } from '../database/database.ts';
import { bookCapacity } from '../orders/capacity.ts';
import type { PlatformTransaction } from '../orders/orders.ts';
import { addManufacturer, type ManufacturerProfile, manufacturerById, profileOf, replaceProfile } from './manufacturer-profiles.ts';

let database: PlatformDatabase;
withDatabase((opened) => {
  database = opened;
});

const weeks = ['2030-W10', '2030-W11', '2030-W12'];
const now = '2030-W09';
const inTransaction = <Result>(work: (transaction: PlatformTransaction) => Promise<Result>) => database.transaction().execute(work);

/** Transactions that wait for a lock. */
async function waiting(): Promise<number> {
  const { rows } = await sql<{ count: number }>`select count(*) as count from pg_locks where not granted`.execute(database);
  return rows[0]?.count ?? 0;
}

function profile(minutes: number, more: Partial<ManufacturerProfile> = {}): ManufacturerProfile {
  return {
    name: 'Turners Ltd',
    country: 'GB',
    latitude: 53.8,
    longitude: -1.55,
    timeZone: 'Europe/London',
    leadDays: 3,
    exportCountries: [],
    active: true,
    processes: [],
    machines: [],
    certificates: [],
    closures: [],
    capacity: weeks.map((week) => ({ process: 'turning', week, minutes })),
    ...more,
  };
}

describe('a profile that is put while hours are booked', () => {
  it('and the bookings wait for each other, and no week is booked beyond its total', async () => {
    const maker = await newManufacturer(database, { weeks });
    const book = () =>
      inTransaction((transaction) =>
        bookCapacity(transaction, {
          manufacturer_id: maker.id,
          process: 'turning',
          // In another order than they are locked in.
          uses: weeks.toReversed().map((week) => ({ week, minutes: 100 })),
        }),
      );
    const put = (minutes: number) => inTransaction((transaction) => replaceProfile(transaction, maker.id, profile(minutes), now));
    const results = await Promise.allSettled(Array.from({ length: 8 }).flatMap((_, turn) => [book(), put(turn % 2 === 0 ? 400 : 2_400)]));
    for (const result of results) {
      if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'BELOW_BOOKED' });
    }
    const rows = await database.selectFrom('capacity').selectAll().where('manufacturer_id', '=', maker.id).execute();
    expect(rows).toHaveLength(3);
    for (const row of rows) expect(row.booked_minutes).toBeLessThanOrEqual(row.total_minutes);
  });

  it('does not wait for an order that refers to the manufacturer, nor the other way round', async () => {
    const maker = await newManufacturer(database, { weeks });
    await inTransaction(async (accepting) => {
      await bookCapacity(accepting, { manufacturer_id: maker.id, process: 'turning', uses: [{ week: '2030-W10', minutes: 60 }] });
      const putting = inTransaction((transaction) => replaceProfile(transaction, maker.id, profile(2_400, { name: 'New' }), now));
      // It has the manufacturer's row by now, and waits for the week.
      await expect.poll(waiting, patience).toBe(1);
      await newOrder(accepting, { manufacturer_id: maker.id });
      return { putting };
    }).then(({ putting }) => putting);
    expect((await manufacturerById(database, maker.id)).name).toBe('New');
    const { booked } = await profileOf(database, await manufacturerById(database, maker.id), now);
    expect(booked).toEqual([{ process: 'turning', week: '2030-W10', minutes: 60 }]);
  });
});

describe('a manufacturer', () => {
  it('is made of a user of that role, once', async () => {
    const [user, buyer] = [await newUser(database, 'manufacturer'), await newUser(database)];
    const add = (who: number) => inTransaction((transaction) => addManufacturer(transaction, who, profile(1)));
    await expect(add(buyer)).rejects.toMatchObject({ code: 'WRONG_ROLE' });
    await expect(add(2 ** 40)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    const results = await Promise.allSettled([add(user), add(user)]);
    expect(results.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
    await expect(inTransaction((transaction) => replaceProfile(transaction, 2 ** 40, profile(1), now))).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
  });
});
