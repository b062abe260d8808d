/**
 * What the exit code of a command says, and which errors lead to which. The table is shown by --help and in docs/cli.md.
 */
import type { ErrorCode } from '../support/taktline-error.ts';

export const exitCodes = { ok: 0, failed: 1, usage: 2, unavailable: 3, notFound: 4, timedOut: 5, interrupted: 130 } as const;

export const exitCodeHelp = [
  [0, 'done'],
  [1, 'what was asked for failed: the job failed, the doctor found something, jobs could not be moved, the question was answered with no'],
  [2, 'the command is wrong: an option, a command, the app, an input, the name of a task or queue'],
  [3, 'the broker, or the outbox, is not available'],
  [4, 'there is nothing with that id'],
  [5, 'it did not happen in time'],
  [130, 'interrupted by Ctrl-C (143 by SIGTERM); a worker that has drained exits with 0'],
] as const;

/** Every code is named, so that a new one cannot be forgotten here. */
const byErrorCode: Readonly<Record<ErrorCode, number>> = {
  INVALID_OPTION: exitCodes.usage,
  INVALID_INPUT: exitCodes.usage,
  PAYLOAD_TOO_LARGE: exitCodes.usage,
  UNKNOWN_TASK: exitCodes.usage,
  UNKNOWN_QUEUE: exitCodes.usage,
  DUPLICATE_TASK: exitCodes.usage,
  BROKER_URL: exitCodes.usage,
  BROKER_UNAVAILABLE: exitCodes.unavailable,
  BROKER_FULL: exitCodes.unavailable,
  BROKER_CLOSED: exitCodes.unavailable,
  BROKER_SCHEMA: exitCodes.unavailable,
  OUTBOX_TRANSACTION: exitCodes.usage,
  OUTBOX_SCHEMA: exitCodes.unavailable,
  OUTBOX_UNAVAILABLE: exitCodes.unavailable,
  EMBEDDED_POSTGRES: exitCodes.unavailable,
  BROKER_IN_USE: exitCodes.failed,
  JOB_NOT_FOUND: exitCodes.notFound,
  SCHEDULE_NOT_FOUND: exitCodes.notFound,
  WORKER_NOT_FOUND: exitCodes.notFound,
  RESULT_TIMEOUT: exitCodes.timedOut,
  ID_CONFLICT: exitCodes.failed,
  HOOK_FAILED: exitCodes.failed,
  POOL_START: exitCodes.failed,
  JOB_FAILED: exitCodes.failed,
  JOB_CANCELLED: exitCodes.failed,
  JOB_EXPIRED: exitCodes.failed,
  RESULT_NOT_KEPT: exitCodes.failed,
  TIME_LIMIT: exitCodes.failed,
  LEASE_LOST: exitCodes.failed,
  POISON_JOB: exitCodes.failed,
  UNKNOWN_TASK_GRACE: exitCodes.failed,
  BAD_ENVELOPE: exitCodes.failed,
  TASK_ERROR: exitCodes.failed,
};

/** An error of the command line itself. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly exitCode: number;

  constructor(exitCode: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}

/**
 * The code of an engine's error. Told by its name, not by its class: the app may bring another copy of the engine than the
 * one this command line belongs to.
 */
export function errorCode(error: unknown): ErrorCode | undefined {
  const { name, code } = (error ?? {}) as { readonly name?: unknown; readonly code?: unknown };
  return name === 'TaktlineError' && typeof code === 'string' && Object.hasOwn(byErrorCode, code) ? (code as ErrorCode) : undefined;
}

export function exitCodeOf(error: unknown): number {
  if (error instanceof CliError) return error.exitCode;
  const code = errorCode(error);
  if (code === undefined) return exitCodes.failed;
  // A URL that the server refused (no such database, a wrong password) may be right in a moment; one that cannot be read never is.
  if (code === 'BROKER_URL' && (error as Error).cause !== undefined) return exitCodes.unavailable;
  return byErrorCode[code];
}
