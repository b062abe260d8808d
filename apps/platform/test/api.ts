/**
 * The marketplace's API on real servers, called as its clients do: with keys. Every answer that comes is compared with what the
 * OpenAPI document says of its route.
 */
import { isDeepStrictEqual } from 'node:util';
import type { z } from '@hono/zod-openapi';
import { afterAll, beforeAll } from 'vitest';
import { createApiKey } from '../src/accounts/api-keys.ts';
import { addDays, dayIn } from '../src/calendar/business-days.ts';
import { nextWeek, weekOf } from '../src/calendar/iso-week.ts';
import type { UserRole } from '../src/database/marketplace-tables.ts';
import { loadTemplates } from '../src/email/templates.ts';
import { api } from '../src/http/api/api.ts';
import { routes } from '../src/http/routes.ts';
import { invoiceFile } from '../src/invoices/stored-invoices.ts';
import { queues } from '../src/queues.ts';
import { startPostgres, type TestPostgres } from './database.ts';
import { newUser } from './marketplace.ts';
import { invoiceLinks, links, startTestPlatform, type TestPlatformOptions } from './platform.ts';

/** What answers hold, as far as tests look into it. */
export interface Body {
  readonly id: number;
  readonly items: readonly Body[];
  readonly next: string | null;
  readonly state: string;
  readonly status: string;
  readonly version: number;
  readonly possible: readonly string[];
  readonly code: string;
  readonly title: string;
  readonly errors: readonly { readonly path: string; readonly message: string }[];
  readonly secret: string;
  readonly job: string;
  readonly profile: typeof profile;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly body: Body;
}

/** Calls the API, under /api/v1. A text is sent as it is, anything else as JSON. */
export type Call = (method: string, path: string, body?: unknown, headers?: Readonly<Record<string, string>>) => Promise<Answer>;

export const today = dayIn('UTC', new Date());

/** The week that it is, and those after it. */
export const weeks: readonly string[] = Array.from({ length: 11 }).reduce<string[]>(
  (all) => [...all, nextWeek(all.at(-1) ?? '')],
  [weekOf(today)],
);

/** What a buyer posts. */
export const newOrder = {
  mode: 'instant',
  title: 'Brackets',
  process: 'turning',
  material: 'steel',
  quantity: 20,
  minutes: 120,
  due_on: addDays(today, 45),
  country: 'DE',
  location: { latitude: 52.52, longitude: 13.4 },
  currency: 'EUR',
};

/** Of one who turns steel. */
export const profile = {
  name: 'Turners Ltd',
  country: 'GB',
  location: { latitude: 53.8, longitude: -1.55 },
  time_zone: 'Europe/London',
  lead_days: 3,
  export_countries: [] as string[],
  active: true,
  processes: [
    {
      process: 'turning',
      prices: [{ currency: 'EUR', setup: '50.00', hour: '60.00', unit: '1.00', minimum: '100.00' }],
      largest_quantity: 10_000,
      materials: { steel: 100 },
    },
  ],
  machines: [{ process: 'turning', name: 'Lathe 1', minutes_a_day: 480 }],
  certificates: [{ name: 'ISO 9001', valid_until: addDays(today, 700) }],
  closures: [] as string[],
  capacity: weeks.map((week) => ({ process: 'turning', week, minutes: 2_400 })),
};

export async function startTestApi(postgres: TestPostgres, options: TestPlatformOptions = {}) {
  const platform = await startTestPlatform(postgres, options);
  const { app, tasks, database, gateway } = platform;
  const logged: string[] = [];
  const note = (message: string, fields?: object) => void logged.push(JSON.stringify({ message, ...fields }));
  // Tests ask faster than anybody.
  const market = { database, tasks, timeZone: 'UTC', requestRate: 100_000 };
  const server = routes({
    app,
    checks: {},
    queues,
    tasks: app.taskNames,
    templates: loadTemplates(),
    unsubscribe: links,
    invoiceLinks,
    invoiceFile: (id) => invoiceFile(database, id),
    records: tasks.records,
    suppressions: tasks.suppressions,
    mailbox: undefined,
    story: undefined,
    publicUrl: 'https://market.example.com',
    production: false,
    market,
    gateway,
    paymentChanged: (intent) => tasks.paymentChanged(intent),
    logger: { debug: note, info: note, warn: note, error: note },
    enqueue: async (input, urgent) => (await tasks.enqueueRecord(input, { urgent })).id,
  });
  const mustBeDocumented = documented(market);

  const request: Call = async (method, path, body, headers = {}) => {
    const response = await server.request(`/api/v1${path}`, {
      method,
      headers: { host: '127.0.0.1', ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const json: unknown = text === '' ? undefined : JSON.parse(text);
    mustBeDocumented(method, path, response.status, json);
    return { status: response.status, headers: response.headers, text, body: json as Body };
  };
  /** With that key. */
  const withKey =
    (secret: string): Call =>
    (method, path, body, headers = {}) =>
      request(method, path, body, { authorization: `Bearer ${secret}`, ...headers });
  /** Somebody with a key. */
  const person = async (role: UserRole, email?: string) => {
    const user = await newUser(database, role, email);
    const { secret, id } = await createApiKey(database, user, 'test');
    return { user, key: id, secret, call: withKey(secret) };
  };
  /** A manufacturer with a profile. */
  const maker = async (changes: object = {}, email?: string) => {
    const made = await person('manufacturer', email);
    const answer = await made.call('PUT', '/manufacturers/me', { ...profile, ...changes });
    if (answer.status !== 201) throw new Error(`the profile was not taken: ${answer.text}`);
    return { ...made, manufacturer: answer.body.id };
  };
  return { ...platform, server, request, withKey, person, maker, logged };
}

export type TestApi = Awaited<ReturnType<typeof startTestApi>>;

/** For a test file that needs one API, without a worker: started before its tests, stopped after them. @param use is given it */
export function withTestApi(use: (api: TestApi) => void): void {
  let close = async (): Promise<void> => {};
  beforeAll(async () => {
    const postgres = await startPostgres();
    close = () => postgres.stop();
    const started = await startTestApi(postgres);
    close = async () => {
      await started.stop();
      await postgres.stop();
    };
    use(started);
  });
  afterAll(() => close());
}

/** @returns what throws for an answer that the document does not have */
function documented(market: Parameters<typeof api>[0]) {
  const declared = api(market).openAPIRegistry.definitions.flatMap((definition) => (definition.type === 'route' ? [definition.route] : []));
  return (method: string, path: string, status: number, body: unknown): void => {
    const [plain = ''] = path.split('?');
    const route = declared.find(
      (one) => one.method === method.toLowerCase() && new RegExp(`^${one.path.replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(`/api/v1${plain}`),
    );
    // What is no route at all has no answers to compare with, and the document does not describe documents.
    if (route === undefined || path === '/openapi.json') return;
    const answer = route.responses[String(status)];
    if (answer === undefined || '$ref' in answer) throw new Error(`${method} ${path} answered ${status}, which is not in the document`);
    const [content] = Object.values(answer.content ?? {});
    if (content === undefined || '$ref' in content) {
      if (body !== undefined) throw new Error(`${method} ${path} answered with a body, which is not in the document`);
      return;
    }
    const read = (content.schema as z.ZodType).safeParse(body);
    if (!read.success) throw new Error(`${method} ${path} answered ${status} with other than the document says: ${read.error.message}`);
    if (!isDeepStrictEqual(read.data, body))
      throw new Error(`${method} ${path} answered ${status} with fields that are not in the document`);
  };
}
