/** What fields of the API may hold, each said once: how it is read, and how the document describes it. */
import { z } from '@hono/zod-openapi';
import { country, line, printedLine } from '../../accounts/users.ts';
import { addDays, CalendarError, zoneName } from '../../calendar/business-days.ts';
import { mondayOf, WeekError } from '../../calendar/iso-week.ts';
import { currencyOf, decimalOf, type Money, MoneyError, money, parseAmount } from '../../money/money.ts';

export { country, line, printedLine };

/** What Postgres keeps in an integer, and as many parts as anybody makes. */
export const mostParts = 1_000_000_000;
/** About two years of one machine. */
export const mostMinutes = 1_000_000;

export const id = z
  .int()
  .min(1)
  .max(Number.MAX_SAFE_INTEGER)
  .meta({ examples: [7] });

const idInPath = (name: string) =>
  z
    .string()
    .regex(/^[1-9]\d{0,14}$/, { error: 'expected an id, a whole number' })
    .transform(Number)
    .openapi({ type: 'integer', minimum: 1, examples: [7], param: { name, in: 'path' } });

/** In a path. */
export const pathId = z.object({ id: idInPath('id') });
/** A refund of a payment. */
export const refundPath = z.object({ id: idInPath('id'), refund: idInPath('refund') });

export const currency = z
  .string()
  .max(3)
  .refine((code) => fits(MoneyError, () => currencyOf(code)), {
    error: 'expected the ISO 4217 code of a currency, such as EUR',
    abort: true,
  })
  .meta({ description: 'ISO 4217.', examples: ['EUR'] });

/** `100.00`, with as many digits behind the point as the currency has. */
export const decimal = z
  .string()
  .max(20)
  .meta({ description: 'A decimal number, never rounded.', examples: ['100.00'] });

const moneyShape = z
  .strictObject({ amount: decimal, currency })
  .meta({ id: 'Money', description: 'An amount of money.', examples: [{ amount: '100.00', currency: 'EUR' }] });

/** Money that somebody sends: more than nothing. */
export const moneyIn = moneyShape.transform(({ amount, currency: code }, context): Money => {
  const read = readDecimal(amount, code);
  if (typeof read !== 'string' && read.minor > 0) return read;
  context.addIssue({ code: 'custom', path: ['amount'], message: typeof read === 'string' ? read : 'expected more than nothing' });
  return z.NEVER;
});

/** Money that is answered with. */
export const moneyOut = moneyShape;

/** A named schema, or nothing. `nullable()` would say in the document that it is both. */
export function orNull<Schema extends z.ZodType>(schema: Schema) {
  return z.union([schema, z.null()]);
}

export type MoneyOut = z.input<typeof moneyShape>;

export function moneyOf(minor: number, code: string): MoneyOut {
  const amount = money(minor, code);
  return { amount: decimalOf(amount), currency: amount.currency };
}

/** Also nothing. @returns what is wrong, as text */
export function readDecimal(amount: string, code: string): Money | string {
  try {
    return parseAmount(amount, code);
  } catch (error) {
    if (error instanceof MoneyError) return error.message;
    throw error;
  }
}

/** Of days and weeks: the years that matching calculates in. */
const inCalculatedYears = (text: string): boolean => text >= '2000' && text < '9900';

export const day = z
  .string()
  .max(10)
  .refine((text) => inCalculatedYears(text) && fits(CalendarError, () => addDays(text, 0)), {
    error: 'expected a day such as 2026-11-28',
  })
  .openapi({ format: 'date', examples: ['2026-11-28'] });

export const week = z
  .string()
  .max(8)
  .refine((text) => inCalculatedYears(text) && fits(WeekError, () => mondayOf(text)), { error: 'expected an ISO week such as 2026-W49' })
  .meta({ description: 'A week as ISO 8601 counts them.', examples: ['2026-W49'] });

export const timeZone = z
  .string()
  .max(60)
  // An offset from UTC is no zone: it knows no daylight saving.
  .refine((name) => /^[A-Za-z]/.test(name) && fits(CalendarError, () => zoneName(name)), {
    error: 'expected the IANA name of a time zone, such as Europe/Berlin',
    abort: true,
  })
  .overwrite(zoneName)
  .meta({ examples: ['Europe/Berlin'] });

/** Of processes and materials; compared as it is written. */
export const kind = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._+/-]{0,59}$/, { error: 'expected a name such as cnc_milling, of letters, digits and ._+/-' });

export const process = kind.meta({ description: 'What is done.', examples: ['turning'] });
export const material = kind.meta({ description: 'What it is made of.', examples: ['steel'] });

export const certificate = line(100).meta({ description: 'The name of a certificate.', examples: ['ISO 9001'] });

export const countries = z.array(country).max(250);

export const location = z
  .strictObject({ latitude: z.number().min(-90).max(90), longitude: z.number().min(-180).max(180) })
  .meta({ id: 'Location', description: 'Degrees north and east.', examples: [{ latitude: 52.52, longitude: 13.4 }] });

export const weekUse = z
  .strictObject({ week, minutes: z.int().min(1).max(mostMinutes) })
  .meta({ id: 'WeekUse', description: 'Machine time in a week.', examples: [{ week: '2026-W49', minutes: 120 }] });

export const quantity = z
  .int()
  .min(1)
  .max(mostParts)
  .meta({ description: 'Parts.', examples: [20] });

/** The caller's own name for what he asks for: the same again is not done again. */
export const reference = z.string().regex(/^[A-Za-z0-9_.:-]{1,100}$/, { error: 'expected 1 to 100 letters, digits and _.:-' });

/** When something happened. */
export const instant = z.string().openapi({ format: 'date-time', examples: ['2026-11-28T09:30:00.000Z'] });

export function instantOf(at: Date): string {
  return at.toISOString();
}

export function instantOrNull(at: Date | null): string | null {
  return at === null ? null : at.toISOString();
}

/** Whether no two of a list are the same. */
export function allDifferent(keys: readonly string[]): boolean {
  return new Set(keys).size === keys.length;
}

function fits(refusal: abstract new (...args: never[]) => Error, check: () => unknown): boolean {
  try {
    check();
    return true;
  } catch (error) {
    if (error instanceof refusal) return false;
    throw error;
  }
}
