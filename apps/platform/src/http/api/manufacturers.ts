/** Manufacturers: what they say of themselves, as one document that is put as a whole, and what everybody may see of them. */
import { z } from '@hono/zod-openapi';
import type { Caller } from '../../accounts/api-keys.ts';
import {
  addManufacturer,
  certificatesOf,
  type Manufacturer,
  type ManufacturerProfile,
  manufacturerById,
  processesOf,
  profileOf,
  replaceProfile,
  type WeekCapacity,
} from '../../accounts/manufacturer-profiles.ts';
import { manufacturerOf } from '../../accounts/users.ts';
import { dayIn } from '../../calendar/business-days.ts';
import { weekOf } from '../../calendar/iso-week.ts';
import type { PlatformDatabase } from '../../database/database.ts';
import { mostLeadDays } from '../../matching/market-checks.ts';
import { decimalOf, money, parseAmount } from '../../money/money.ts';
import type { PlatformTransaction } from '../../orders/orders.ts';
import { noteActOf } from './caller-acts.ts';
import type { ApiDeps } from './deps.ts';
import {
  allDifferent,
  certificate,
  countries,
  country,
  currency,
  day,
  decimal,
  id,
  line,
  location,
  material,
  mostMinutes,
  mostParts,
  pathId,
  printedLine,
  process,
  readDecimal,
  timeZone,
  week,
} from './fields.ts';
import { type Api, apiRoute, everybody, json, jsonBody, newApi } from './route.ts';

const tags: [string] = ['Manufacturers'];

const price = z
  .strictObject({
    currency,
    setup: decimal.describe('Once for each order.'),
    hour: decimal.describe('For each hour of machine time.'),
    unit: decimal.describe('For each part.'),
    minimum: decimal.describe('No order costs less; more than nothing.'),
  })
  .meta({ id: 'ProcessPrice', examples: [{ currency: 'EUR', setup: '50.00', hour: '60.00', unit: '1.00', minimum: '100.00' }] });

const priceFields = ['setup', 'hour', 'unit', 'minimum'] as const;

const offered = z
  .strictObject({
    process,
    prices: z.array(price).min(1).max(30).describe('One for each currency that is accepted.'),
    largest_quantity: z.int().min(1).max(mostParts),
    materials: z
      .record(material, z.number().min(0.01).max(10_000).multipleOf(0.01))
      .refine((materials) => Object.keys(materials).length > 0, { error: 'expected one material at least' })
      .refine((materials) => Object.keys(materials).length <= 200, { error: 'expected at most 200 materials' })
      .meta({ description: 'The materials that are worked, and what each makes of the price, in percent.', examples: [{ steel: 100 }] }),
  })
  .meta({ id: 'OfferedProcess' });

const weekMinutes = z
  .strictObject({ process, week, minutes: z.int().min(0).max(mostMinutes) })
  .meta({ id: 'WeekMinutes', examples: [{ process: 'turning', week: '2026-W49', minutes: 2400 }] });

const profileShape = z.strictObject({
  name: printedLine(200).meta({ examples: ['Turners Ltd'] }),
  country,
  location,
  time_zone: timeZone,
  lead_days: z.int().min(0).max(mostLeadDays).describe('Calendar days before work on an order can begin.'),
  export_countries: countries.describe('Where it is cleared for export-controlled work.'),
  active: z.boolean().describe('Whether it gets offers.'),
  processes: z.array(offered).max(50),
  machines: z.array(z.strictObject({ process, name: line(100), minutes_a_day: z.int().min(1).max(1_440) })).max(500),
  certificates: z.array(z.strictObject({ name: certificate, valid_until: day })).max(100),
  closures: z
    .array(day)
    .max(1_000)
    .describe('Days on which it is closed: a week has a fifth less machine time for each from Monday to Friday.'),
  capacity: z
    .array(weekMinutes)
    .max(3_000)
    .describe('Machine time in each week, as if no day were closed. A week that is left out has none; one that is over stays as it is.'),
});

const profileExample = {
  name: 'Turners Ltd',
  country: 'DE',
  location: { latitude: 53.55, longitude: 10 },
  time_zone: 'Europe/Berlin',
  lead_days: 3,
  export_countries: [],
  active: true,
  processes: [
    {
      process: 'turning',
      prices: [{ currency: 'EUR', setup: '50.00', hour: '60.00', unit: '1.00', minimum: '100.00' }],
      largest_quantity: 1_000,
      materials: { steel: 100 },
    },
  ],
  machines: [{ process: 'turning', name: 'Lathe 1', minutes_a_day: 480 }],
  certificates: [{ name: 'ISO 9001', valid_until: '2028-06-30' }],
  closures: ['2026-12-24'],
  capacity: [{ process: 'turning', week: '2026-W49', minutes: 2_400 }],
};

/** What fields cannot tell alone. */
const profileIn = profileShape
  .superRefine((profile, context) => {
    const refuse = (path: (string | number)[], message: string) => context.addIssue({ code: 'custom', path, message });
    const unique = (field: string, keys: readonly string[]) => {
      if (!allDifferent(keys)) refuse([field], 'expected each once');
    };
    unique(
      'processes',
      profile.processes.map((one) => one.process),
    );
    unique(
      'certificates',
      profile.certificates.map(({ name }) => name),
    );
    unique('closures', profile.closures);
    unique(
      'capacity',
      profile.capacity.map((one) => `${one.week} ${one.process}`),
    );
    for (const [at, { prices }] of profile.processes.entries()) {
      if (!allDifferent(prices.map((one) => one.currency))) refuse(['processes', at, 'prices'], 'expected each currency once');
      for (const [place, one] of prices.entries()) {
        for (const field of priceFields) {
          const read = readDecimal(one[field], one.currency);
          if (typeof read === 'string') refuse(['processes', at, 'prices', place, field], read);
          else if (field === 'minimum' && read.minor < 1) refuse(['processes', at, 'prices', place, field], 'expected more than nothing');
        }
      }
    }
  })
  .meta({ id: 'ManufacturerProfile', description: 'All that a manufacturer says of himself.', examples: [profileExample] });

type ProfileIn = z.output<typeof profileIn>;

const manufacturerShape = z
  .object({
    id,
    name: z.string(),
    country: z.string(),
    active: z.boolean(),
    rating: z
      .object({ mean: z.number(), count: z.int() })
      .nullable()
      .meta({ description: 'From 1 to 5, and of how many ratings; null when there is none.' }),
    record: z.object({ delivered: z.int(), in_time: z.int() }).meta({ description: 'Deliveries, and how many of them came in time.' }),
    processes: z.array(z.object({ process: z.string(), materials: z.array(z.string()) })),
    certificates: z.array(z.object({ name: z.string(), valid_until: z.string() })),
    profile: profileIn.optional().meta({ description: 'For the manufacturer and the staff: the document as it can be put again.' }),
    booked: z.array(weekMinutes).optional().meta({ description: 'For the manufacturer and the staff: minutes of accepted work.' }),
  })
  .meta({ id: 'Manufacturer' });

const putMine = apiRoute(
  { roles: ['manufacturer'], codes: ['BELOW_BOOKED', 'HAS_PROFILE'] },
  {
    method: 'put',
    path: '/manufacturers/me',
    operationId: 'putMyProfile',
    summary: 'Say what I can make',
    description: 'Replaces the whole document; the first time it makes one. What is booked stays booked.',
    tags,
    request: { body: jsonBody(profileIn) },
    responses: { 200: json('The manufacturer as it is now.', manufacturerShape), 201: json('The new manufacturer.', manufacturerShape) },
  },
);

const put = apiRoute(
  { roles: ['staff'], codes: ['BELOW_BOOKED'] },
  {
    method: 'put',
    path: '/manufacturers/{id}',
    operationId: 'putProfile',
    summary: 'Say what a manufacturer can make',
    tags,
    request: { params: pathId, body: jsonBody(profileIn) },
    responses: { 200: json('The manufacturer as it is now.', manufacturerShape) },
  },
);

const create = apiRoute(
  { roles: ['staff'], codes: ['NOT_FOUND', 'WRONG_ROLE', 'HAS_PROFILE'] },
  {
    method: 'post',
    path: '/manufacturers',
    operationId: 'createManufacturer',
    summary: 'Make a user a manufacturer',
    description: 'The user has the role manufacturer.',
    tags,
    request: {
      body: jsonBody(
        z.strictObject({ user: id, profile: profileIn }).meta({ id: 'NewManufacturer', examples: [{ user: 7, profile: profileExample }] }),
      ),
    },
    responses: { 201: json('The new manufacturer.', manufacturerShape) },
  },
);

const read = apiRoute(
  { roles: everybody },
  {
    method: 'get',
    path: '/manufacturers/{id}',
    operationId: 'readManufacturer',
    summary: 'A manufacturer',
    description: 'Prices, machines and capacity are shown to the manufacturer and the staff.',
    tags,
    request: { params: pathId },
    responses: { 200: json('The manufacturer.', manufacturerShape) },
  },
);

export function manufacturers({ database, timeZone: zone, now = Date.now }: ApiDeps): Api {
  const api = newApi();
  const thisWeek = () => weekOf(dayIn(zone, new Date(now())));
  const replace = async (transaction: PlatformTransaction, caller: Caller, manufacturer: number, asked: ProfileIn) => {
    await replaceProfile(transaction, manufacturer, profileFrom(asked), thisWeek());
    await noteActOf(transaction, caller, { action: 'manufacturer.replace', subject: `manufacturer:${manufacturer}` });
    return answerOf(transaction, await manufacturerById(transaction, manufacturer), thisWeek());
  };
  const add = async (transaction: PlatformTransaction, caller: Caller, user: number, asked: ProfileIn) => {
    const manufacturer = await addManufacturer(transaction, user, profileFrom(asked));
    await noteActOf(transaction, caller, { action: 'manufacturer.create', subject: `manufacturer:${manufacturer}`, data: { user } });
    return answerOf(transaction, await manufacturerById(transaction, manufacturer), thisWeek());
  };

  // Before the route with an id, which would take it for one.
  api.openapi(putMine, async (c) => {
    const caller = c.get('caller');
    const asked = c.req.valid('json');
    const { answer, fresh } = await database.transaction().execute(async (transaction) => {
      const mine = await manufacturerOf(transaction, caller.user);
      return mine === undefined
        ? { answer: await add(transaction, caller, caller.user, asked), fresh: true }
        : { answer: await replace(transaction, caller, mine, asked), fresh: false };
    });
    return fresh ? c.json(answer, 201) : c.json(answer, 200);
  });

  api.openapi(put, async (c) => {
    const { id: manufacturer } = c.req.valid('param');
    const asked = c.req.valid('json');
    const answer = await database.transaction().execute((transaction) => replace(transaction, c.get('caller'), manufacturer, asked));
    return c.json(answer, 200);
  });

  api.openapi(create, async (c) => {
    const { user, profile } = c.req.valid('json');
    const answer = await database.transaction().execute((transaction) => add(transaction, c.get('caller'), user, profile));
    return c.json(answer, 201);
  });

  api.openapi(read, async (c) => {
    const { user, role } = c.get('caller');
    const manufacturer = await manufacturerById(database, c.req.valid('param').id);
    const all = role === 'staff' || manufacturer.user_id === user;
    return c.json(await answerOf(database, manufacturer, all ? thisWeek() : undefined), 200);
  });

  return api;
}

/** @param week the one that it is, for those who may see all */
async function answerOf(
  database: Pick<PlatformDatabase, 'selectFrom'>,
  manufacturer: Manufacturer,
  week: string | undefined,
): Promise<z.input<typeof manufacturerShape>> {
  const { id, name, country, active, rating_sum, rating_count, delivered, delivered_in_time } = manufacturer;
  const shown = {
    id,
    name,
    country,
    active,
    rating: rating_count === 0 ? null : { mean: Math.round((100 * rating_sum) / rating_count) / 100, count: rating_count },
    record: { delivered, in_time: delivered_in_time },
  };
  if (week === undefined) {
    return {
      ...shown,
      processes: processNames(await processesOf(database, id)),
      certificates: certificateAnswers(await certificatesOf(database, id)),
    };
  }
  const { profile, booked } = await profileOf(database, manufacturer, week);
  return {
    ...shown,
    processes: processNames(profile.processes),
    certificates: certificateAnswers(profile.certificates),
    profile: profileAnswer(profile),
    booked: booked.map((one) => ({ ...one })),
  };
}

function processNames(processes: ManufacturerProfile['processes']) {
  return processes.map(({ process, materials }) => ({ process, materials: Object.keys(materials).toSorted() }));
}

function certificateAnswers(certificates: ManufacturerProfile['certificates']) {
  return certificates.map(({ name, validUntil }) => ({ name, valid_until: validUntil }));
}

function profileFrom(asked: ProfileIn): ManufacturerProfile {
  return {
    name: asked.name,
    country: asked.country,
    ...asked.location,
    timeZone: asked.time_zone,
    leadDays: asked.lead_days,
    exportCountries: asked.export_countries,
    active: asked.active,
    processes: asked.processes.map(({ process, prices, largest_quantity, materials }) => ({
      process,
      prices: prices.map(({ currency, setup, hour, unit, minimum }) => ({
        currency,
        setupMinor: parseAmount(setup, currency).minor,
        hourMinor: parseAmount(hour, currency).minor,
        unitMinor: parseAmount(unit, currency).minor,
        minimumMinor: parseAmount(minimum, currency).minor,
      })),
      largestQuantity: largest_quantity,
      materials: mapValues(materials, (percent) => Math.round(percent * 100)),
    })),
    machines: asked.machines.map(({ process, name, minutes_a_day }) => ({ process, name, minutesADay: minutes_a_day })),
    certificates: asked.certificates.map(({ name, valid_until }) => ({ name, validUntil: valid_until })),
    closures: asked.closures,
    capacity: asked.capacity,
  };
}

function profileAnswer(profile: ManufacturerProfile): ProfileIn {
  const decimalFrom = (minor: number, code: string) => decimalOf(money(minor, code));
  return {
    name: profile.name,
    country: profile.country,
    location: { latitude: profile.latitude, longitude: profile.longitude },
    time_zone: profile.timeZone,
    lead_days: profile.leadDays,
    export_countries: [...profile.exportCountries],
    active: profile.active,
    processes: profile.processes.map(({ process, prices, largestQuantity, materials }) => ({
      process,
      prices: prices.map(({ currency, setupMinor, hourMinor, unitMinor, minimumMinor }) => ({
        currency,
        setup: decimalFrom(setupMinor, currency),
        hour: decimalFrom(hourMinor, currency),
        unit: decimalFrom(unitMinor, currency),
        minimum: decimalFrom(minimumMinor, currency),
      })),
      largest_quantity: largestQuantity,
      materials: mapValues(materials, (basisPoints) => basisPoints / 100),
    })),
    machines: profile.machines.map(({ process, name, minutesADay }) => ({ process, name, minutes_a_day: minutesADay })),
    certificates: certificateAnswers(profile.certificates),
    closures: [...profile.closures],
    capacity: profile.capacity.map((one: WeekCapacity) => ({ ...one })),
  };
}

function mapValues(values: Readonly<Record<string, number>>, by: (value: number) => number): Record<string, number> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, by(value)]));
}
