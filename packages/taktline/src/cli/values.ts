/** Reads the values of options and arguments. What does not fit is refused by the option's name. */
import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { InvalidArgumentError } from 'commander';
import type { ScheduleOptions } from '../app/schedule-options.ts';
import { logLevel } from '../app/settings.ts';
import { type Duration, toMs } from '../support/durations.ts';
import { logLevels } from '../support/logger.ts';
import { type Size, toBytes } from '../support/sizes.ts';
import { CliError, exitCodes } from './exit-codes.ts';

/** `'30s'`, `'5m'`, `'2h'`; a number alone is seconds, as everywhere in Celery's commands. Gives milliseconds. */
export function parseDuration(value: string): number {
  try {
    return toMs((/^\d+(\.\d+)?$/.test(value) ? `${value}s` : value) as Duration, 'duration');
  } catch {
    throw new InvalidArgumentError('Expected a duration such as 30s, 5m, 2h or 7d; a number alone is seconds (at most 3650d).');
  }
}

/** ISO 8601 with a zone: without one, the caller's machine and the server's would read different times. */
export function parseTime(value: string): Date {
  const time = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)$/i.test(value)
    ? new Date(value.replace(' ', 'T'))
    : undefined;
  if (time === undefined || Number.isNaN(time.getTime()))
    throw new InvalidArgumentError('Expected a time with its zone, such as 2027-01-31T08:00:00Z or 2027-01-31T09:00:00+01:00.');
  return time;
}

/** A moment, or a duration from now. */
export function parseTimeOrDuration(value: string): Date | number {
  return /^\d{4}-/.test(value) ? parseTime(value) : parseDuration(value);
}

/** `8,1`: the most and the least, as Celery has it. */
export function parseBounds(value: string): { readonly max: number; readonly min: number } {
  const match = /^(\d{1,5}),(\d{1,5})$/.exec(value);
  if (match === null) throw new InvalidArgumentError('Expected the most and the least, such as 8,1.');
  return { max: Number(match[1]), min: Number(match[2]) };
}

/** `300mb`; a number alone is bytes. */
export function parseSize(value: string): Size {
  const size = (/^\d+$/.test(value) ? Number(value) : value) as Size;
  try {
    toBytes(size, 'size');
  } catch {
    throw new InvalidArgumentError('Expected a size such as 300mb or 1gb.');
  }
  return size;
}

/** 0: any that is free. */
export function parsePort(value: string): number {
  const port = /^\d{1,5}$/.test(value) ? Number(value) : -1;
  if (port < 0 || port > 65_535) throw new InvalidArgumentError('Expected a port, 0 to 65535.');
  return port;
}

/** `skip`, `latest`, or `all:10`. */
export function parseCatchUp(value: string): NonNullable<ScheduleOptions['catchUp']> {
  if (value === 'skip' || value === 'latest') return value;
  const match = /^all:(\d{1,4})$/.exec(value);
  if (match === null) throw new InvalidArgumentError('Expected skip, latest, or all:<most> such as all:10.');
  return { all: Number(match[1]) };
}

export function parseWhole(value: string): number {
  if (!/^\d{1,9}$/.test(value)) throw new InvalidArgumentError('Expected a whole number.');
  return Number(value);
}

/** `a,b`; the option may also be given several times. */
export function parseNames(value: string, before: readonly string[] = []): readonly string[] {
  const names = value.split(',').map((name) => name.trim());
  if (names.includes('')) throw new InvalidArgumentError('Expected names, separated by commas.');
  return [...new Set([...before, ...names])];
}

/**
 * JSON given as itself, as `@file`, or as `-` for standard input. The error never quotes it: it may hold what the task's
 * schema marks as sensitive.
 */
export async function readJson(value: string, option: string): Promise<unknown> {
  const json = value === '-' ? await text(process.stdin) : value.startsWith('@') ? await readText(value.slice(1), option) : value;
  try {
    return JSON.parse(json);
  } catch (error) {
    const at = /position (\d+)/.exec((error as Error).message)?.[1];
    throw new CliError(exitCodes.usage, `${option} is not JSON${at === undefined ? '' : ` (at character ${Number(at) + 1})`}`);
  }
}

/** The engine checks names and sizes. */
export async function readHeaders(value: string): Promise<Record<string, string>> {
  const headers = await readJson(value, '--headers');
  if (typeof headers !== 'object' || headers === null || Array.isArray(headers))
    throw new CliError(exitCodes.usage, '--headers has to be an object of strings, such as {"tenant":"a"}');
  return headers as Record<string, string>;
}

/** Sets what the app reads when it is made. */
export function setLogLevel(level: string): void {
  try {
    process.env['TAKTLINE_LOG_LEVEL'] = logLevel({ TAKTLINE_LOG_LEVEL: level });
  } catch {
    throw new CliError(exitCodes.usage, `--loglevel is ${JSON.stringify(level)}: expected one of ${logLevels.join(', ')}`);
  }
}

async function readText(path: string, option: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new CliError(exitCodes.usage, `${option}: ${path} cannot be read: ${(error as NodeJS.ErrnoException).code ?? 'unknown error'}`);
  }
}
