import { describe, expect, it } from 'vitest';
import { profile, type TestApi, today, weeks, withTestApi } from '../../../test/api.ts';
import { addDays } from '../../calendar/business-days.ts';
import { weekOf } from '../../calendar/iso-week.ts';

let api: TestApi;
withTestApi((started) => {
  api = started;
});

const put = (maker: Awaited<ReturnType<TestApi['maker']>>, changes: object) =>
  maker.call('PUT', '/manufacturers/me', { ...profile, ...changes });
const book = (manufacturer: number, week: string, booked_minutes: number) =>
  api.database
    .updateTable('capacity')
    .set({ booked_minutes })
    .where('manufacturer_id', '=', manufacturer)
    .where('week', '=', week)
    .execute();

describe('a profile', () => {
  it('comes back as it was put, and can be put again', async () => {
    const maker = await api.maker({
      export_countries: ['GB', 'US'],
      closures: ['2030-01-02', '2030-01-01'],
      processes: [
        {
          process: 'turning',
          prices: [
            { currency: 'EUR', setup: '50.00', hour: '60.50', unit: '0.01', minimum: '0.01' },
            { currency: 'JPY', setup: '5000', hour: '6000', unit: '1', minimum: '1' },
          ],
          largest_quantity: 500,
          materials: { steel: 99.99, AlMg3: 150 },
        },
      ],
    });
    const first = (await maker.call('GET', `/manufacturers/${maker.manufacturer}`)).body.profile;
    expect(first).toMatchObject({
      ...profile,
      export_countries: ['GB', 'US'],
      closures: ['2030-01-01', '2030-01-02'],
      processes: [
        {
          prices: [
            { currency: 'EUR', hour: '60.50', unit: '0.01' },
            { currency: 'JPY', setup: '5000' },
          ],
          materials: { steel: 99.99, AlMg3: 150 },
        },
      ],
    });
    expect((await maker.call('PUT', '/manufacturers/me', first)).status).toBe(200);
    expect((await maker.call('GET', `/manufacturers/${maker.manufacturer}`)).body.profile).toEqual(first);
    expect(
      await api.database
        .selectFrom('manufacturer_processes')
        .select(['currency', 'setup_minor', 'material_factors'])
        .where('manufacturer_id', '=', maker.manufacturer)
        .orderBy('currency')
        .execute(),
    ).toEqual([
      { currency: 'EUR', setup_minor: 5_000, material_factors: { steel: 9_999, AlMg3: 15_000 } },
      { currency: 'JPY', setup_minor: 5_000, material_factors: { steel: 9_999, AlMg3: 15_000 } },
    ]);
  });

  it('has the name of its time zone as everybody writes it', async () => {
    const maker = await api.maker({ time_zone: 'eUROPE/berlin' });
    expect((await maker.call('GET', `/manufacturers/${maker.manufacturer}`)).body.profile.time_zone).toBe('Europe/Berlin');
    const stored = api.database.selectFrom('manufacturers').select('time_zone').where('id', '=', maker.manufacturer);
    expect(await stored.executeTakeFirst()).toEqual({ time_zone: 'Europe/Berlin' });
  });

  it('keeps what is booked, and no week falls under it', async () => {
    const maker = await api.maker();
    await book(maker.manufacturer, weeks[2] ?? '', 300);
    const low = profile.capacity.map((one) => ({ ...one, minutes: 299 }));
    expect(await put(maker, { name: 'Other', capacity: low })).toMatchObject({ status: 422, body: { code: 'BELOW_BOOKED' } });
    expect(await put(maker, { name: 'Other', capacity: [] })).toMatchObject({ status: 422, body: { code: 'BELOW_BOOKED' } });
    const kept = (await maker.call('GET', `/manufacturers/${maker.manufacturer}`)).body;
    expect(kept).toMatchObject({ name: 'Turners Ltd', booked: [{ week: weeks[2], minutes: 300 }] });
    expect(kept.profile.capacity).toEqual(profile.capacity);
    const exact = { process: 'turning', week: weeks[2], minutes: 300 };
    expect(await put(maker, { capacity: [exact] })).toMatchObject({
      status: 200,
      body: { profile: { capacity: [exact] }, booked: [exact] },
    });
  });

  it('leaves the weeks that are over as they are', async () => {
    const maker = await api.maker();
    const past = weekOf(addDays(today, -14));
    await api.database
      .insertInto('capacity')
      .values({ manufacturer_id: maker.manufacturer, process: 'turning', week: past, total_minutes: 500, booked_minutes: 400 })
      .execute();
    expect((await put(maker, { capacity: [] })).status).toBe(200);
    expect(
      await api.database
        .selectFrom('capacity')
        .select(['week', 'booked_minutes'])
        .where('manufacturer_id', '=', maker.manufacturer)
        .execute(),
    ).toEqual([{ week: past, booked_minutes: 400 }]);
    expect((await maker.call('GET', `/manufacturers/${maker.manufacturer}`)).body.profile.capacity).toEqual([]);
  });

  it('of others is put by the staff, once for a user who is to be one', async () => {
    const [staff, buyer, user] = [await api.person('staff'), await api.person('buyer'), await api.person('manufacturer')];
    const create = (who: number) => staff.call('POST', '/manufacturers', { user: who, profile });
    expect(await create(buyer.user)).toMatchObject({ status: 422, body: { code: 'WRONG_ROLE' } });
    expect((await create(2 ** 40)).status).toBe(404);
    const made = await create(user.user);
    expect(made).toMatchObject({ status: 201, body: { name: 'Turners Ltd' } });
    expect(await create(user.user)).toMatchObject({ status: 409, body: { code: 'HAS_PROFILE' } });
    expect((await staff.call('PUT', `/manufacturers/${made.body.id}`, { ...profile, active: false })).body).toMatchObject({
      active: false,
    });
    expect((await staff.call('PUT', `/manufacturers/${2 ** 40}`, profile)).status).toBe(404);
    expect((await user.call('GET', '/me')).body).toMatchObject({ manufacturer: made.body.id });
  });

  it('put twice at once makes one manufacturer', async () => {
    const user = await api.person('manufacturer');
    const answers = await Promise.all([1, 2].map(() => user.call('PUT', '/manufacturers/me', profile)));
    expect(answers.map(({ status }) => status).filter((status) => status === 201)).toHaveLength(1);
    expect(await api.database.selectFrom('manufacturers').select('id').where('user_id', '=', user.user).execute()).toHaveLength(1);
  });

  const [process] = profile.processes;
  const price = { currency: 'EUR', setup: '1.00', hour: '1.00', unit: '1.00', minimum: '1.00' };
  it.each([
    ['processes', { processes: [process, process] }],
    ['processes.0.prices', { processes: [{ ...process, prices: [price, price] }] }],
    ['processes.0.prices.0.hour', { processes: [{ ...process, prices: [{ ...price, hour: '1.001' }] }] }],
    [
      'processes.0.prices.0.unit',
      { processes: [{ ...process, prices: [{ ...price, currency: 'JPY', unit: '1.50', setup: '1', hour: '1', minimum: '1' }] }] },
    ],
    ['processes.0.prices.0.setup', { processes: [{ ...process, prices: [{ ...price, setup: '-1.00' }] }] }],
    ['processes.0.prices.0.minimum', { processes: [{ ...process, prices: [{ ...price, minimum: '0.00' }] }] }],
    ['processes.0.prices.0.currency', { processes: [{ ...process, prices: [{ ...price, currency: 'eur' }] }] }],
    ['processes.0.materials', { processes: [{ ...process, materials: {} }] }],
    ['processes.0.materials', { processes: [{ ...process, materials: { hunter2: 0 } }] }],
    ['processes.0.materials', { processes: [{ ...process, materials: { hunter2: 1.005 } }] }],
    ['processes.0.materials', { processes: [{ ...process, materials: { 'hunter2 ': 100 } }] }],
    ['processes.0.largest_quantity', { processes: [{ ...process, largest_quantity: 2 ** 31 }] }],
    ['time_zone', { time_zone: 'Europe/Nowhere' }],
    ['time_zone', { time_zone: '+01:00' }],
    ['lead_days', { lead_days: -1 }],
    ['location.latitude', { location: { latitude: 91, longitude: 0 } }],
    ['closures.0', { closures: ['2026-02-30'] }],
    ['closures', { closures: ['2030-01-01', '2030-01-01'] }],
    ['certificates', { certificates: [profile.certificates[0], profile.certificates[0]] }],
    ['certificates.0.name', { certificates: [{ name: 'ISO\n9001', valid_until: '2030-01-01' }] }],
    ['machines.0.minutes_a_day', { machines: [{ process: 'turning', name: 'Lathe', minutes_a_day: 1_441 }] }],
    ['capacity', { capacity: [profile.capacity[0], profile.capacity[0]] }],
    ['capacity.0.week', { capacity: [{ process: 'turning', week: '2027-W53', minutes: 1 }] }],
    ['capacity.0.week', { capacity: [{ process: 'turning', week: '9999-W53', minutes: 1 }] }],
    ['capacity.0.minutes', { capacity: [{ process: 'turning', week: '2027-W01', minutes: 1e10 }] }],
    ['name', { name: 'Turners\r\nBcc: x' }],
    ['active', { active: 'yes' }],
  ])('with something wrong at %s is refused, and names nothing of it', async (path, changes) => {
    const maker = await api.person('manufacturer');
    const answer = await maker.call('PUT', '/manufacturers/me', { ...profile, ...changes });
    expect(answer.status, answer.text).toBe(400);
    expect(answer.body.errors.map((error) => error.path)).toEqual([path]);
    expect(answer.text).not.toContain('hunter2');
  });
});
