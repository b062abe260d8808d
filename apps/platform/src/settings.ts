/**
 * The environment, read once at start, checked as a whole and turned into typed settings. Every variable that is wrong
 * is named together with what was expected. URLs and secrets are never shown, since they carry passwords.
 */
import { isIP } from 'node:net';
import { join } from 'node:path';
import { z } from 'zod';
import { zoneName } from './calendar/business-days.ts';
import { addressSchema, displayNameSchema } from './email/addresses.ts';
import { defaultWeights, type Weights } from './matching/score.ts';

export type PlatformLogLevel = 'debug' | 'info' | 'warn' | 'error';

/** How to reach the mail server. */
export interface SmtpSettings {
  readonly host: string;
  readonly port: number;
  /** TLS from the first byte (smtps://). */
  readonly secure: boolean;
  /** STARTTLS: `required` refuses a server without it, `optional` uses it when offered, `off` never does. */
  readonly tls: 'required' | 'optional' | 'off';
  readonly user: string | undefined;
  readonly password: string | undefined;
  /** Messages a second that this process sends at most. */
  readonly ratePerSecond: number;
  /** Open connections at most, beside one for each bulk batch that runs. */
  readonly connections: number;
}

export interface Settings {
  readonly production: boolean;
  /** Where the embedded database and generated secrets are kept. */
  readonly folder: string;
  /** Where background processes note their pids, and where their logs go. */
  readonly runFolder: string;
  readonly logFolder: string;
  /** Undefined: the embedded default. */
  readonly brokerUrl: string | undefined;
  /** Undefined: the embedded default. */
  readonly databaseUrl: string | undefined;
  /** Undefined: the local mailbox. */
  readonly smtp: SmtpSettings | undefined;
  readonly mailFrom: { readonly name: string; readonly address: string };
  /** Origin under which recipients reach this server, without a slash at the end. Undefined: the address it listens on. */
  readonly publicUrl: string | undefined;
  readonly host: string;
  readonly port: number;
  /** Whether samples are played, in a database that has no users of its own. */
  readonly demo: boolean;
  /** How fast time goes for the sample orders: 2,880 is a day in half a minute. */
  readonly demoSpeed: number;
  readonly logLevel: PlatformLogLevel;
  /** Undefined: the sandbox. */
  readonly stripe: { readonly secretKey: string; readonly webhookSecret: string } | undefined;
  /** Whether this is production all the same: payments are said to be made, and no money moves. */
  readonly paysWithTestCards: boolean;
  /** Of a sandbox in another process, such as `http://127.0.0.1:12111`. Undefined: one in this process. */
  readonly sandboxUrl: string | undefined;
  /** Requests a second that a user of the API may make; twice as many may come at once. */
  readonly apiRate: number;
  /** Where a day begins for business days, due dates and invoices: an IANA name. */
  readonly timeZone: string;
  /** What counts how much when candidates for an order are scored. */
  readonly matchingWeights: Weights;
  /** Undefined: generated, and kept in `folder`. */
  readonly unsubscribeSecret: string | undefined;
}

/** The environment holds values that cannot be used; `problems` has a line for each. */
export class SettingsError extends Error {
  override readonly name = 'SettingsError';
  readonly code = 'SETTINGS';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`The settings cannot be used:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
    this.problems = problems;
  }
}

/** The schemes that name a broker. The engine refuses those that its release has no broker for. */
const brokerSchemes = ['postgres:', 'postgresql:', 'redis:', 'rediss:', 'redis-sentinel:', 'redis-cluster:', 'embedded:'];

const expectedLevels = 'debug, info, warn or error';
const levels = new Map<string, PlatformLogLevel>([
  ['debug', 'debug'],
  ['info', 'info'],
  ['warn', 'warn'],
  ['warning', 'warn'],
  ['error', 'error'],
  ['critical', 'error'],
]);

/** A whole number written in digits. */
const wholeNumber = (lowest: number, highest: number) =>
  z
    .string()
    .regex(/^\d{1,9}$/)
    .transform(Number)
    .pipe(z.number().min(lowest).max(highest));

const urlOf = (schemes: readonly string[]) => z.string().refine((text) => schemes.includes(parseUrl(text)?.protocol ?? ''));

const logLevel = z
  .string()
  .transform((text) => levels.get(text.toLowerCase()))
  .pipe(z.enum(['debug', 'info', 'warn', 'error']));

/** Each variable: its shape, what to say when it does not fit, and whether its value may be shown. */
const variables = {
  NODE_ENV: { shape: z.enum(['production', 'development', 'test']), expected: 'production, development or test', show: true },
  TAKTLINE_FOLDER: { shape: z.string().min(1), expected: 'the path of a folder', show: true },
  PLATFORM_RUN_DIR: { shape: z.string().min(1), expected: 'the path of a folder', show: true },
  PLATFORM_LOG_DIR: { shape: z.string().min(1), expected: 'the path of a folder', show: true },
  BROKER_URL: { shape: urlOf(brokerSchemes), expected: brokerExpected(), show: false },
  CELERY_BROKER_URL: { shape: urlOf(brokerSchemes), expected: brokerExpected(), show: false },
  REDIS_URL: { shape: urlOf(brokerSchemes.slice(2, 6)), expected: 'a URL such as redis://host:6379/0', show: false },
  CELERY_RESULT_BACKEND: { shape: z.string(), expected: 'the same URL as the broker', show: false },
  DATABASE_URL: {
    shape: urlOf(['postgres:', 'postgresql:']),
    expected: 'a URL such as postgres://user:password@host:5432/database?sslmode=require',
    show: false,
  },
  SMTP_URL: {
    shape: z.string().transform(readSmtpUrl),
    expected: 'a URL such as smtp://user:password@host:587 or smtps://host:465, without a query',
    show: false,
  },
  SMTP_TLS: { shape: z.enum(['required', 'optional', 'off']), expected: 'required, optional or off', show: true },
  SMTP_RATE: { shape: wholeNumber(1, 10_000), expected: 'messages a second, from 1 to 10000', show: true },
  SMTP_CONNECTIONS: { shape: wholeNumber(1, 100), expected: 'a whole number from 1 to 100', show: true },
  MAIL_FROM: {
    shape: z.string().transform(readMailFrom),
    expected: 'an address, such as orders@example.com or "Orders <orders@example.com>"',
    show: false,
  },
  PUBLIC_URL: {
    shape: z.string().transform(readPublicUrl),
    expected: 'an http or https URL without path, such as https://mail.example.com',
    show: true,
  },
  HOST: {
    shape: z.string().refine(isLoopback),
    expected:
      'a loopback address (127.0.0.1, ::1 or localhost): its pages have no login, so it listens nowhere else. A proxy before it reaches the API, invoices, webhooks and unsubscribing',
    show: true,
  },
  PORT: { shape: wholeNumber(0, 65_535), expected: 'a whole number from 0 (any free port) to 65535', show: true },
  DEMO: { shape: z.enum(['on', 'off']), expected: 'on or off', show: true },
  DEMO_SPEED: { shape: wholeNumber(1, 100_000), expected: 'how fast time goes in the demo, a whole number from 1 to 100000', show: true },
  STRIPE_SECRET_KEY: {
    shape: z.string().regex(/^(sk|rk)_[\x21-\x7e]+$/),
    expected: 'a secret key of Stripe, sk_... or rk_...',
    show: false,
  },
  STRIPE_WEBHOOK_SECRET: {
    shape: z.string().regex(/^whsec_[\x21-\x7e]+$/),
    expected: "the secret of Stripe's webhook, whsec_...",
    show: false,
  },
  STRIPE_TEST_MODE: { shape: z.enum(['on', 'off']), expected: 'on or off', show: true },
  API_RATE: { shape: wholeNumber(1, 100_000), expected: 'requests a second of one user, from 1 to 100000', show: true },
  SANDBOX_GATEWAY_URL: {
    shape: z.string().refine(isSandboxUrl),
    expected: 'the URL of a sandbox on this machine, such as http://127.0.0.1:12111',
    show: true,
  },
  PLATFORM_TZ: { shape: z.string().transform(readTimeZone), expected: 'the IANA name of a time zone, such as Europe/Berlin', show: true },
  MATCHING_WEIGHTS: {
    shape: z.string().transform(readWeights),
    expected: `numbers from 0 on by what they weigh, not all 0, such as price=2,lead=1; what is left out keeps its default. There are ${Object.keys(defaultWeights).join(', ')}`,
    show: true,
  },
  TAKTLINE_LOG_LEVEL: { shape: logLevel, expected: expectedLevels, show: true },
  CELERY_LOG_LEVEL: { shape: logLevel, expected: expectedLevels, show: true },
  UNSUBSCRIBE_SECRET: {
    shape: z.string().min(32),
    expected: 'at least 32 random characters, such as the output of "openssl rand -hex 32"',
    show: false,
  },
} as const;

/** Their names. */
export const settingNames: readonly string[] = Object.keys(variables);

type Variables = typeof variables;
type Values = { -readonly [Name in keyof Variables]?: z.output<Variables[Name]['shape']> };

/**
 * Reads the settings. An empty variable counts as one that is not set.
 *
 * @throws SettingsError naming every variable that is wrong or missing
 */
export function readSettings(env: Readonly<Record<string, string | undefined>>): Settings {
  const problems: string[] = [];
  const values = readValues(env, problems);
  const production = values.NODE_ENV === 'production';
  const brokerUrl = values.BROKER_URL ?? values.CELERY_BROKER_URL ?? values.REDIS_URL ?? values.DATABASE_URL;

  if (values.CELERY_RESULT_BACKEND !== undefined && values.CELERY_RESULT_BACKEND !== brokerUrl) {
    problems.push('CELERY_RESULT_BACKEND: results are kept by the broker; leave it out, or set it to the same URL as the broker');
  }
  if (production) problems.push(...missingInProduction(env, brokerUrl));
  const testKey = /^.._test_/.test(values.STRIPE_SECRET_KEY ?? '');
  if (production && testKey && values.STRIPE_TEST_MODE !== 'on') {
    problems.push(
      'STRIPE_SECRET_KEY is one of the test mode, in which anybody pays with a test card: use a live one, or set STRIPE_TEST_MODE=on for a system without customers',
    );
  }
  if ((values.STRIPE_SECRET_KEY === undefined) !== (values.STRIPE_WEBHOOK_SECRET === undefined) && !production) {
    problems.push('STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET: set both, or none for the sandbox');
  }
  if (values.SMTP_URL !== undefined && env['MAIL_FROM'] === undefined && !production) {
    problems.push(`MAIL_FROM is missing: with SMTP_URL it must be ${variables.MAIL_FROM.expected}`);
  }
  const real = production || values.SMTP_URL !== undefined || values.STRIPE_SECRET_KEY !== undefined;
  if (values.DEMO === 'on' && real) {
    problems.push(
      'DEMO is "on": sample mail goes to the local mailbox and sample payments to the sandbox, so it cannot be on with SMTP_URL, with STRIPE_SECRET_KEY or in production',
    );
  }
  if (problems.length > 0) throw new SettingsError(problems);

  const folder = values.TAKTLINE_FOLDER ?? '.taktline';
  return {
    production,
    folder,
    runFolder: values.PLATFORM_RUN_DIR ?? join(folder, 'run'),
    logFolder: values.PLATFORM_LOG_DIR ?? join(folder, 'log'),
    brokerUrl,
    databaseUrl: values.DATABASE_URL,
    smtp: values.SMTP_URL && smtpSettings(values.SMTP_URL, values),
    mailFrom: values.MAIL_FROM ?? { name: 'Taktline', address: 'taktline@taktline.example' },
    publicUrl: values.PUBLIC_URL,
    host: values.HOST ?? '127.0.0.1',
    port: values.PORT ?? 8080,
    demo: values.DEMO !== 'off' && !real,
    demoSpeed: values.DEMO_SPEED ?? 2_880,
    logLevel: values.TAKTLINE_LOG_LEVEL ?? values.CELERY_LOG_LEVEL ?? 'info',
    stripe:
      values.STRIPE_SECRET_KEY === undefined || values.STRIPE_WEBHOOK_SECRET === undefined
        ? undefined
        : { secretKey: values.STRIPE_SECRET_KEY, webhookSecret: values.STRIPE_WEBHOOK_SECRET },
    paysWithTestCards: production && testKey,
    apiRate: values.API_RATE ?? 50,
    sandboxUrl: values.SANDBOX_GATEWAY_URL,
    timeZone: values.PLATFORM_TZ ?? 'UTC',
    matchingWeights: values.MATCHING_WEIGHTS ?? defaultWeights,
    unsubscribeSecret: values.UNSUBSCRIBE_SECRET,
  };
}

function readValues(env: Readonly<Record<string, string | undefined>>, problems: string[]): Values {
  const values: Record<string, unknown> = {};
  for (const [name, { shape, expected, show }] of Object.entries(variables)) {
    const text = env[name]?.trim();
    if (text === undefined || text === '') continue;
    const result = shape.safeParse(text);
    if (result.success && result.data !== undefined) values[name] = result.data;
    else problems.push(`${name}${show ? ` is ${JSON.stringify(text.slice(0, 60))}` : ''}: expected ${expected}`);
  }
  return values;
}

/** Nobody gets an embedded database, or a mailbox that swallows mail, by mistake. */
function missingInProduction(env: Readonly<Record<string, string | undefined>>, brokerUrl: string | undefined): string[] {
  const problems: string[] = [];
  const isSet = (name: string) => (env[name]?.trim() ?? '') !== '';
  if (!['BROKER_URL', 'CELERY_BROKER_URL', 'REDIS_URL', 'DATABASE_URL'].some(isSet)) {
    problems.push(`BROKER_URL is missing: with NODE_ENV=production it must be ${variables.BROKER_URL.expected}`);
  }
  if (brokerUrl?.startsWith('embedded:')) {
    problems.push('BROKER_URL: the embedded database is for development; with NODE_ENV=production it must be that of a server');
  }
  if (env['PUBLIC_URL']?.trim().toLowerCase().startsWith('http:')) {
    problems.push('PUBLIC_URL: one-click unsubscribing (RFC 8058) needs an https URL');
  }
  if (isSet('SANDBOX_GATEWAY_URL')) problems.push('SANDBOX_GATEWAY_URL: the sandbox moves no money, and is not for NODE_ENV=production');
  for (const name of [
    'DATABASE_URL',
    'SMTP_URL',
    'MAIL_FROM',
    'PUBLIC_URL',
    'UNSUBSCRIBE_SECRET',
    'STRIPE_SECRET_KEY',
    'STRIPE_WEBHOOK_SECRET',
  ] as const) {
    if (!isSet(name)) problems.push(`${name} is missing: with NODE_ENV=production it must be ${variables[name].expected}`);
  }
  return problems;
}

/** True for `localhost`, 127.0.0.0/8 and ::1. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

type SmtpAddress = Pick<SmtpSettings, 'host' | 'port' | 'secure' | 'user' | 'password'>;

function smtpSettings(address: SmtpAddress, values: Values): SmtpSettings {
  return {
    ...address,
    tls: values.SMTP_TLS ?? (isLoopback(address.host) ? 'off' : 'required'),
    ratePerSecond: values.SMTP_RATE ?? 20,
    connections: values.SMTP_CONNECTIONS ?? 5,
  };
}

/** A query is refused: nodemailer would take options from it, such as logging the whole traffic. */
function readSmtpUrl(text: string): SmtpAddress | undefined {
  const url = parseUrl(text);
  if (url === undefined || !['smtp:', 'smtps:'].includes(url.protocol) || url.hostname === '') return undefined;
  if (url.search !== '' || url.hash !== '' || !['', '/'].includes(url.pathname)) return undefined;
  const secure = url.protocol === 'smtps:';
  const user = decode(url.username);
  const password = decode(url.password);
  if (user === undefined || password === undefined) return undefined;
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? (secure ? 465 : 587) : Number(url.port),
    secure,
    user: user === '' ? undefined : user,
    password: password === '' ? undefined : password,
  };
}

function readWeights(text: string): Weights | undefined {
  const weights: Record<string, number> = { ...defaultWeights };
  for (const part of text.split(',')) {
    const [, name = '', weight = ''] = /^ *(\w+) *= *(\d{1,6}(?:\.\d{1,6})?) *$/.exec(part) ?? [];
    if (!Object.hasOwn(defaultWeights, name)) return undefined;
    weights[name] = Number(weight);
  }
  return Object.values(weights).some((weight) => weight > 0) ? { ...defaultWeights, ...weights } : undefined;
}

function readMailFrom(text: string): Settings['mailFrom'] | undefined {
  const match = /^(.*?)\s*<([^<>]*)>$/.exec(text);
  const name = (match?.[1] ?? '').replace(/^"(.*)"$/, '$1');
  const address = match?.[2] ?? text;
  return addressSchema.safeParse(address).success && displayNameSchema.safeParse(name).success ? { name, address } : undefined;
}

function readPublicUrl(text: string): string | undefined {
  const url = parseUrl(text);
  if (url === undefined || !['http:', 'https:'].includes(url.protocol)) return undefined;
  return url.origin === text.replace(/\/$/, '').toLowerCase() ? url.origin : undefined;
}

function isSandboxUrl(text: string): boolean {
  const url = parseUrl(text);
  return (
    url !== undefined &&
    url.protocol === 'http:' &&
    isLoopback(url.hostname.replace(/^\[|\]$/g, '')) &&
    url.port !== '' &&
    ['', '/'].includes(url.pathname)
  );
}

/** An offset from UTC is no zone: it knows no daylight saving. */
function readTimeZone(text: string): string | undefined {
  try {
    return /^[A-Za-z]/.test(text) ? zoneName(text) : undefined;
  } catch {
    return undefined;
  }
}

function parseUrl(text: string): URL | undefined {
  return URL.canParse(text) ? new URL(text) : undefined;
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function brokerExpected(): string {
  return 'a URL such as postgres://user:password@host:5432/database or redis://host:6379/0';
}
