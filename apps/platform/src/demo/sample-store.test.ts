import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPostgres, type TestPostgres } from '../../test/database.ts';
import { plannedTrouble, sampleData } from './sample-data.ts';
import { NotEmptyError, storeSamples } from './sample-store.ts';

let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.stop());

describe('storing sample data', () => {
  it('puts all of it into an empty database, in its order, more rows than fit in a statement too', async () => {
    const { database } = await postgres.newDatabase();
    try {
      const data = sampleData({ orders: 5_000, manufacturers: 40, from: '2026-11-30' });
      const told: number[] = [];
      const stored = await storeSamples(database, data, (done) => void told.push(done));
      expect(stored).toEqual({ buyers: 500, manufacturers: 40, orders: 5_000, firstOrder: 1 });
      expect(told.length).toBeGreaterThan(1);
      expect(told.at(-1)).toBe(5_000);
      const orders = await database.selectFrom('orders').selectAll().orderBy('id').execute();
      for (const at of [0, 1, 2_500, 4_999]) {
        expect(orders[at]).toMatchObject({
          state: 'draft',
          title: data.orders[at]?.title,
          due_on: data.orders[at]?.dueOn,
          payment_method: data.orders[at]?.paymentMethod,
          certificates: data.orders[at]?.certificates,
        });
      }
      expect(orders.map(plannedTrouble)).toEqual(data.orders.map(({ trouble }) => trouble));
      const capacity = await database.selectFrom('capacity').selectAll().execute();
      expect(capacity).toHaveLength(data.manufacturers.reduce((sum, one) => sum + one.capacity.length, 0));
      const [maker] = await database
        .selectFrom('manufacturers')
        .innerJoin('users', 'users.id', 'user_id')
        .selectAll('manufacturers')
        .select('email')
        .orderBy('manufacturers.id')
        .limit(1)
        .execute();
      expect(maker).toMatchObject({ name: data.manufacturers[0]?.name, email: data.manufacturers[0]?.user.email });
    } finally {
      await database.destroy();
    }
  });

  it('refuses a database that has data, and leaves it as it was; of two at once one stores', async () => {
    const { database } = await postgres.newDatabase();
    try {
      const data = sampleData({ orders: 20, from: '2026-11-30' });
      const results = await Promise.allSettled([storeSamples(database, data), storeSamples(database, data)]);
      expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
      await expect(storeSamples(database, data)).rejects.toThrow(NotEmptyError);
      const { count } = await database
        .selectFrom('orders')
        .select(({ fn }) => fn.countAll<number>().as('count'))
        .executeTakeFirstOrThrow();
      expect(count).toBe(20);
    } finally {
      await database.destroy();
    }
  });
});
