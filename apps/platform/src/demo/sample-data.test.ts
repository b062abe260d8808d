import { describe, expect, it } from 'vitest';
import { mondayOf } from '../calendar/iso-week.ts';
import { currencyOf } from '../money/money.ts';
import { sampleData } from './sample-data.ts';

const from = '2026-11-30';

describe('sample data', () => {
  it('is the same for the same options, and another for another seed', () => {
    expect(sampleData({ orders: 50, from })).toEqual(sampleData({ orders: 50, from }));
    expect(sampleData({ orders: 50, from, seed: 2 })).not.toEqual(sampleData({ orders: 50, from }));
  });

  it('has as much trouble as is said', () => {
    const { orders } = sampleData({ orders: 10_000, from });
    const share = (...troubles: readonly string[]) => orders.filter(({ trouble }) => troubles.includes(String(trouble))).length / 10_000;
    expect(share('declined_softly', 'declined_hard')).toBeCloseTo(0.05, 2);
    expect(share('disputed')).toBeCloseTo(0.01, 2);
    expect(share('not_right')).toBeCloseTo(0.03, 2);
    expect(new Set(orders.map(({ currency }) => currency))).toEqual(new Set(['EUR', 'USD', 'GBP', 'JPY']));
    for (const { currency } of orders) expect(currencyOf(currency)).toBe(currency);
  });

  it('has somebody for every process, in two zones, with hours in weeks that there are', () => {
    const { manufacturers, orders } = sampleData({ orders: 300, from });
    const made = new Set(manufacturers.flatMap(({ processes }) => processes.map(({ process }) => process)));
    for (const { process } of orders) expect(made).toContain(process);
    expect(new Set(manufacturers.map(({ timeZone }) => timeZone))).toEqual(new Set(['Europe/Berlin', 'America/New_York']));
    for (const { capacity, processes } of manufacturers) {
      expect(capacity).toHaveLength(26 * processes.length);
      for (const { week } of capacity) expect(mondayOf(week) >= from).toBe(true);
    }
    expect(new Set(manufacturers.map(({ user }) => user.email)).size).toBe(manufacturers.length);
  });

  it('a closed day costs the hours of its machines', () => {
    const { manufacturers } = sampleData({ orders: 3_000, from });
    const closed = manufacturers.find(({ closures }) => closures.length > 0);
    const [one] = closed?.processes ?? [];
    const full = 5 * (one?.machines ?? []).reduce((sum, { minutesADay }) => sum + minutesADay, 0);
    const weeks = closed?.capacity.filter(({ process }) => process === one?.process) ?? [];
    expect(weeks.some(({ minutes }) => minutes < full)).toBe(true);
    expect(Math.max(...weeks.map(({ minutes }) => minutes))).toBe(full);
  });

  it('refuses numbers that are none', () => {
    for (const orders of [-1, 1.5, Number.NaN]) expect(() => sampleData({ orders, from })).toThrow('orders: expected a whole number');
    expect(() => sampleData({ orders: 1, from: '2026-02-30' })).toThrow();
    expect(sampleData({ orders: 0, from }).orders).toEqual([]);
  });
});
