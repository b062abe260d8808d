import { describe, expect, it } from 'vitest';
import { need, offer, supplier, today, weeksFromToday } from '../../test/matching-market.ts';
import { currencyOf, largestMinor, money } from '../money/money.ts';
import { type Candidate, candidatesOf, type OrderNeed, type Reason, type Supplier } from './candidates.ts';

const usd = currencyOf('USD');
const eur = currencyOf('EUR');

/** Of a market of one. */
function judged(order: Partial<OrderNeed>, seller: Partial<Supplier>) {
  return candidatesOf(need(order), [supplier(seller)], { today });
}

function reasonsOf(order: Partial<OrderNeed>, seller: Partial<Supplier> = {}): readonly Reason[] {
  const { candidates, leftOut } = judged(order, seller);
  expect(candidates.length + leftOut.length).toBe(1);
  return leftOut[0]?.reasons ?? [];
}

function candidateOf(order: Partial<OrderNeed>, seller: Partial<Supplier> = {}): Candidate {
  const [candidate] = judged(order, seller).candidates;
  if (candidate === undefined) throw new Error('left out');
  return candidate;
}

const offers = (more: Parameters<typeof offer>[0]) => ({ offers: new Map([['cnc_milling', offer(more)]]) });
const weeksOf = ({ slots }: Candidate) => slots.map(({ uses }) => uses.map(({ week, minutes }) => `${week} ${minutes}`).join(' + '));

describe('candidatesOf', () => {
  it('takes a supplier that has all that is needed', () => {
    const candidate = candidateOf({});
    expect(candidate).toMatchObject({ price: { minor: 71_000, currency: 'EUR' }, transitDays: 1, shipBy: '2026-12-17' });
    expect(candidate.distanceKm).toBeCloseTo(56.3, 0);
    expect(weeksOf(candidate)).toEqual(['2026-W49 600', '2026-W50 600', '2026-W51 600']);
    expect(candidate.slots.map(({ readyOn }) => readyOn)).toEqual(['2026-12-04', '2026-12-11', '2026-12-17']);
  });

  it('parts all suppliers, in their order', () => {
    const sellers = ['a', 'b', 'c', 'd'].map((id, place) => supplier({ id, leadDays: place % 2 === 0 ? 0 : 400 }));
    const { candidates, leftOut } = candidatesOf(need(), sellers, { today });
    expect(candidates.map((candidate) => candidate.supplier.id)).toEqual(['a', 'c']);
    expect(leftOut.map(({ supplierId }) => supplierId)).toEqual(['b', 'd']);
    expect(candidatesOf(need(), [], { today })).toEqual({ candidates: [], leftOut: [] });
  });

  it('tells every reason, not the first alone', () => {
    const codes = reasonsOf(
      {
        material: 'titanium',
        quantity: 2_000,
        certificates: ['ISO 9001', 'EN 9100'],
        exportCountries: ['US'],
        minutes: 100_000,
        currency: usd,
      },
      { certificates: [{ name: 'EN 9100', validUntil: '2026-01-01' }] },
    ).map(({ code }) => code);
    expect(codes).toEqual([
      'EXPORT_COUNTRY',
      'NO_MATERIAL',
      'QUANTITY',
      'CURRENCY',
      'CERTIFICATE_MISSING',
      'CERTIFICATE_EXPIRES',
      'NO_CAPACITY',
    ]);
  });
});

describe('process, material and quantity', () => {
  it('wants the process, whatever its name is', () => {
    expect(reasonsOf({ process: 'turning' })).toEqual([{ code: 'NO_PROCESS', process: 'turning' }]);
    expect(reasonsOf({ process: '__proto__' })).toEqual([{ code: 'NO_PROCESS', process: '__proto__' }]);
    expect(reasonsOf({ process: 'water jet, 5 axes' }, { offers: new Map([['water jet, 5 axes', offer()]]) })).toEqual([]);
  });

  it('wants the material in this process, not in another one', () => {
    const turning = offer({ materialFactors: new Map([['steel', 10_000]]) });
    expect(
      reasonsOf(
        { material: 'steel' },
        {
          offers: new Map([
            ['cnc_milling', offer()],
            ['turning', turning],
          ]),
        },
      ),
    ).toEqual([{ code: 'NO_MATERIAL', material: 'steel' }]);
    expect(reasonsOf({ material: 'constructor' })).toEqual([{ code: 'NO_MATERIAL', material: 'constructor' }]);
  });

  it.each([
    [4, false],
    [5, true],
    [50, true],
    [51, false],
  ])('of 5 to 50 parts, %d: %s', (quantity, takes) => {
    const reasons = reasonsOf({ quantity }, offers({ smallestQuantity: 5, largestQuantity: 50 }));
    expect(reasons).toEqual(takes ? [] : [{ code: 'QUANTITY', quantity, smallest: 5, largest: 50 }]);
  });
});

describe('certificates', () => {
  // Due on a Friday with one day on the way: the goods leave on the 17th at the latest.
  const asked = { certificates: ['ISO 9001'] };
  const held = (...days: readonly string[]) => ({ certificates: days.map((validUntil) => ({ name: 'ISO 9001', validUntil })) });

  it('takes one whose last day is the last day for shipping', () => {
    expect(reasonsOf(asked, held('2026-12-17'))).toEqual([]);
  });

  it('refuses one that ends the day before', () => {
    expect(reasonsOf(asked, held('2026-12-16'))).toEqual([
      { code: 'CERTIFICATE_EXPIRES', certificate: 'ISO 9001', validUntil: '2026-12-16', shipBy: '2026-12-17' },
    ]);
  });

  it('takes the newest of one that was renewed', () => {
    expect(reasonsOf(asked, held('2027-06-30', '2026-06-30'))).toEqual([]);
    expect(reasonsOf(asked, held('2026-06-30', '2027-06-30'))).toEqual([]);
  });

  it('wants every one, by its own name', () => {
    expect(reasonsOf({ certificates: ['ISO 9001', 'ISO 13485'] }, held('2028-01-01'))).toEqual([
      { code: 'CERTIFICATE_MISSING', certificate: 'ISO 13485' },
    ]);
    expect(reasonsOf({ certificates: ['iso 9001'] }, held('2028-01-01'))).toHaveLength(1);
  });
});

describe('export control', () => {
  it('asks nobody when the order is not controlled', () => {
    expect(reasonsOf({}, { country: 'CN' })).toEqual([]);
  });

  it.each<[string, readonly string[], string, readonly string[], string | undefined]>([
    ['in an allowed country and cleared there', ['DE', 'FR'], 'DE', ['DE'], undefined],
    ['in an allowed country and cleared in another one', ['DE', 'FR'], 'DE', ['FR'], 'EXPORT_CLEARANCE'],
    ['in an allowed country without clearance', ['DE'], 'DE', [], 'EXPORT_CLEARANCE'],
    ['elsewhere, cleared in an allowed country', ['DE'], 'PL', ['DE'], 'EXPORT_COUNTRY'],
    ['anywhere, when no country is allowed', [], 'DE', ['DE'], 'EXPORT_COUNTRY'],
  ])('judges a supplier %s', (_, exportCountries, country, exportClearance, code) => {
    expect(reasonsOf({ exportCountries }, { country, exportClearance }).map((reason) => reason.code)).toEqual(
      code === undefined ? [] : [code],
    );
  });
});

describe('currency and price', () => {
  it('wants the currency accepted', () => {
    expect(reasonsOf({}, { currencies: [usd] })).toEqual([{ code: 'CURRENCY', currency: 'EUR', accepted: ['USD'] }]);
  });

  it('wants the prices in it, since nothing is converted', () => {
    expect(reasonsOf({ currency: usd }, { currencies: [eur, usd] })).toEqual([{ code: 'PRICE_CURRENCY', currency: 'USD', priced: 'EUR' }]);
  });

  it('keeps to the budget, to the cent', () => {
    expect(reasonsOf({ budgetMinor: 71_000 })).toEqual([]);
    expect(reasonsOf({ budgetMinor: 70_999 })).toEqual([
      { code: 'OVER_BUDGET', price: { minor: 71_000, currency: 'EUR' }, budgetMinor: 70_999 },
    ]);
  });

  it('leaves out a price that no card can be charged', () => {
    const price = money(1_000_000_000, 'EUR');
    expect(reasonsOf({}, offers({ setupMinor: 0, hourMinor: 0, unitMinor: 0, minimumMinor: price.minor }))).toEqual([
      { code: 'PRICE_NOT_CHARGEABLE', price },
    ]);
  });

  it('leaves out a price that is more than money can be', () => {
    expect(reasonsOf({}, offers({ unitMinor: largestMinor }))).toEqual([{ code: 'PRICE_TOO_LARGE' }]);
  });

  it('leaves out what would be free of charge', () => {
    const free = { setupMinor: 0, hourMinor: 0, unitMinor: 0 };
    expect(reasonsOf({}, offers({ ...free, minimumMinor: 0 }))).toEqual([{ code: 'NO_PRICE' }]);
    expect(reasonsOf({}, offers({ ...free, minimumMinor: 1 }))).toEqual([]);
  });
});

describe('time', () => {
  it('counts the days on the way by the distance', () => {
    // From Munich to Madrid, some 1,485 km, and to New York.
    expect(candidateOf({ dueOn: '2027-01-15' }, { latitude: 40.417, longitude: -3.704 })).toMatchObject({
      transitDays: 4,
      shipBy: '2027-01-11',
    });
    expect(candidateOf({ dueOn: '2027-01-15' }, { latitude: 40.713, longitude: -74.006 })).toMatchObject({
      transitDays: 10,
      shipBy: '2027-01-05',
    });
  });

  it('takes the days on the way that it is told', () => {
    const transit = [{ upToKm: Number.POSITIVE_INFINITY, days: 3 }];
    const [candidate] = candidatesOf(need(), [supplier()], { today, transit }).candidates;
    expect(candidate).toMatchObject({ transitDays: 3, shipBy: '2026-12-15' });
  });

  it('ships on a business day', () => {
    // Monday, one day on the way: Sunday, so Friday.
    expect(candidateOf({ dueOn: '2026-12-21' }).shipBy).toBe('2026-12-18');
  });

  it('begins after the lead time, and not a day before', () => {
    // 2,400 minutes a week: 480 a day. From Wednesday on there are three days.
    const from = (leadDays: number, minutes: number) => weeksOf(candidateOf({ minutes }, { leadDays }));
    expect(from(5, 1_440)).toEqual(['2026-W49 1440', '2026-W50 1440', '2026-W51 1440']);
    expect(from(5, 1_441)).toEqual(['2026-W50 1441', '2026-W51 1441']);
    expect(from(6, 1_440)).toEqual(['2026-W50 1440', '2026-W51 1440']);
  });

  it('ends in time: of the last week the days until the goods leave count', () => {
    expect(weeksOf(candidateOf({ minutes: 1_920 }))).toEqual(['2026-W49 1920', '2026-W50 1920', '2026-W51 1920']);
    expect(weeksOf(candidateOf({ minutes: 1_921 }))).toEqual(['2026-W49 1921', '2026-W50 1921']);
  });

  it.each([
    ['in the past', '2026-11-20', 0],
    ['today, with a day on the way', '2026-11-27', 0],
    ['before the lead time is over', '2026-12-18', 21],
    ['on the Monday, when it can begin on the Saturday', '2026-11-30', 1],
  ])('is too short for what is due %s', (_, dueOn, leadDays) => {
    expect(reasonsOf({ dueOn }, { leadDays }).map(({ code }) => code)).toEqual(['TOO_SOON']);
  });

  it('counts a week without the days on which the supplier is closed', () => {
    const closures = new Set(['2026-12-01', '2026-12-02', '2026-12-05']);
    expect(weeksOf(candidateOf({ minutes: 1_440 }, { closures }))).toEqual(['2026-W49 1440', '2026-W50 1440', '2026-W51 1440']);
    expect(weeksOf(candidateOf({ minutes: 1_441 }, { closures }))).toEqual(['2026-W50 1441', '2026-W51 1441']);
  });

  it('of a cut week has what is free, and no more than its days', () => {
    const [, week = ''] = weeksFromToday(2);
    // From Thursday on there are two days, 960 minutes of 2,400.
    const from = (free: number, minutes: number) =>
      reasonsOf(
        { minutes, dueOn: '2026-12-07' },
        { ...offers({ freeMinutes: new Map([[week, free]]), totalMinutes: new Map([[week, 2_400]]) }), leadDays: 6 },
      );
    expect(from(900, 900)).toEqual([]);
    expect(from(900, 901)).toEqual([{ code: 'NO_CAPACITY', neededMinutes: 901, freeMinutes: 900 }]);
    expect(from(2_400, 961)).toEqual([{ code: 'NO_CAPACITY', neededMinutes: 961, freeMinutes: 960 }]);
  });

  it('is enough for one day', () => {
    // Begun on Monday and shipped on Monday, for Tuesday.
    expect(weeksOf(candidateOf({ dueOn: '2026-12-01', minutes: 480 }))).toEqual(['2026-W49 480']);
    expect(reasonsOf({ dueOn: '2026-12-01', minutes: 481 })).toEqual([{ code: 'NO_CAPACITY', neededMinutes: 481, freeMinutes: 480 }]);
  });

  it('makes an order in one week where it can, and spreads it over the earliest ones where it cannot', () => {
    const free = (...minutes: readonly number[]) =>
      offers({
        freeMinutes: new Map(
          weeksFromToday(4)
            .slice(1)
            .map((week, place) => [week, minutes[place] ?? 0]),
        ),
      });
    expect(weeksOf(candidateOf({ minutes: 1_000 }, free(600, 1_000, 2_400)))).toEqual(['2026-W50 1000', '2026-W51 1000']);
    expect(weeksOf(candidateOf({ minutes: 1_000 }, free(600, 0, 900)))).toEqual(['2026-W49 600 + 2026-W51 400']);
    expect(candidateOf({ minutes: 1_000 }, free(600, 0, 900)).slots[0]?.readyOn).toBe('2026-12-17');
    expect(reasonsOf({ minutes: 1_321 }, free(600, 0, 900))).toEqual([{ code: 'NO_CAPACITY', neededMinutes: 1_321, freeMinutes: 1_320 }]);
  });

  it('has none in a week that is not listed', () => {
    expect(reasonsOf({}, offers({ freeMinutes: new Map() }))).toEqual([{ code: 'NO_CAPACITY', neededMinutes: 600, freeMinutes: 0 }]);
  });

  it('offers three weeks at most', () => {
    expect(candidateOf({ dueOn: '2027-02-15' }).slots).toHaveLength(3);
  });

  it('goes through week 53 over the turn of the year', () => {
    const candidate = candidateOf({ dueOn: '2027-01-16', minutes: 2_400 }, { leadDays: 31 });
    expect(weeksOf(candidate)).toEqual(['2026-W53 2400', '2027-W01 2400', '2027-W02 2400']);
    expect(candidate.slots.map(({ readyOn }) => readyOn)).toEqual(['2027-01-01', '2027-01-08', '2027-01-15']);
  });

  it('looks a year ahead, from the lead time on, whenever it is due', () => {
    const late = offers({ freeMinutes: new Map([['2028-W10', 600]]) });
    expect(weeksOf(candidateOf({ dueOn: '9899-12-31' }, { ...late, leadDays: 365 }))).toEqual(['2028-W10 600']);
    expect(reasonsOf({ dueOn: '9899-12-31' }, late)).toEqual([{ code: 'NO_CAPACITY', neededMinutes: 600, freeMinutes: 0 }]);
  });
});

describe('what cannot be', () => {
  it.each<[string, Partial<OrderNeed>]>([
    ['quantity', { quantity: 0 }],
    ['quantity', { quantity: 1.5 }],
    ['minutes', { minutes: 0 }],
    ['minutes', { minutes: Number.NaN }],
    ['minutes', { minutes: 1e12 }],
    ['dueOn', { dueOn: '2026-02-30' }],
    ['dueOn', { dueOn: 'soon' }],
    ['dueOn', { dueOn: '9999-12-31' }],
    ['latitude', { latitude: 91 }],
    ['longitude', { longitude: Number.NaN }],
    ['budgetMinor', { budgetMinor: -1 }],
  ])('is refused in an order, by the name of the field: %s', (field, more) => {
    expect(() => judged(more, {})).toThrow(expect.objectContaining({ name: 'MatchingError', code: 'INVALID_NEED', field }));
  });

  it('is refused in the options', () => {
    expect(() => candidatesOf(need(), [], { today: 'today' })).toThrow(expect.objectContaining({ code: 'INVALID_OPTION', field: 'today' }));
    expect(() => candidatesOf(need(), [], { today, transit: [] })).toThrow(expect.objectContaining({ field: 'transit' }));
  });

  it.each<[string, Partial<Supplier>]>([
    ['latitude', { latitude: -91 }],
    ['longitude', { longitude: 181 }],
    ['leadDays', { leadDays: -1 }],
    ['leadDays', { leadDays: 0.5 }],
    ['load', { load: 1.01 }],
    ['load', { load: Number.NaN }],
    ['rating', { rating: 0 }],
    ['ratings', { ratings: -1 }],
    ['onTime', { onTime: 95 }],
    ['deliveries', { deliveries: Number.POSITIVE_INFINITY }],
    ['certificates', { certificates: [{ name: 'ISO 9001', validUntil: 'for ever' }] }],
    ['setupMinor', offers({ setupMinor: -1 })],
    ['hourMinor', offers({ hourMinor: 0.5 })],
    ['unitMinor', offers({ unitMinor: Number.NaN })],
    ['minimumMinor', offers({ minimumMinor: 2 ** 53 })],
    ['largestQuantity', offers({ largestQuantity: -1 })],
    ['materialFactors', offers({ materialFactors: new Map([['aluminium', -1]]) })],
    ['freeMinutes', offers({ freeMinutes: new Map([['2026-W50', Number.NaN]]) })],
  ])('leaves out the supplier alone, by the name of the field: %s', (field, more) => {
    const order = need({ certificates: more.certificates === undefined ? [] : ['ISO 9001'] });
    const { candidates, leftOut } = candidatesOf(
      order,
      [supplier({ id: 'bad', ...more }), supplier({ certificates: [{ name: 'ISO 9001', validUntil: '9999-12-31' }] })],
      { today },
    );
    expect(leftOut).toEqual([{ supplierId: 'bad', reasons: [{ code: 'INVALID_DATA', field }] }]);
    expect(candidates).toHaveLength(1);
  });
});
