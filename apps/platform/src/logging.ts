/**
 * The process's log: pino, readable on a terminal and JSON lines anywhere else, on standard error. Fields that could
 * hold an address, a name or a secret are masked here too, though nothing should send them.
 */
import { pino, stdTimeFunctions } from 'pino';
import { PinoPretty } from 'pino-pretty';
import type { Logger } from 'taktline';
import type { PlatformLogLevel } from './settings.ts';

/** Names of fields that never show, at the top and one level below. */
const masked = ['to', 'recipient', 'address', 'email', 'name', 'context', 'password', 'secret', 'authorization', 'url'];

export interface LogOptions {
  readonly level: PlatformLogLevel;
  /** Default: whether standard error is a terminal. */
  readonly pretty?: boolean;
  /** Where the lines go. Default: standard error. */
  readonly stream?: NodeJS.WritableStream;
}

export function createLogger({ level, stream = process.stderr, pretty = process.stderr.isTTY }: LogOptions): Logger {
  const destination = pretty ? PinoPretty({ destination: stream, sync: true, singleLine: true, translateTime: 'SYS:HH:MM:ss' }) : stream;
  const log = pino(
    {
      level,
      // The same names as the engine's own log has.
      base: null,
      messageKey: 'message',
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: masked.flatMap((field) => [field, `*.${field}`]), censor: '[masked]' },
    },
    destination,
  );
  return {
    debug: (message, fields = {}) => log.debug(fields, message),
    info: (message, fields = {}) => log.info(fields, message),
    warn: (message, fields = {}) => log.warn(fields, message),
    error: (message, fields = {}) => log.error(fields, message),
  };
}
