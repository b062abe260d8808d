/**
 * The one error class of the engine. A program tells errors apart by `code`; a person reads `message`, which says
 * what is wrong and what to do. Every code stands in the table below, and in docs/errors.md.
 */

/** Every code that the engine throws or stores, with what it means. */
export const errorCodes = {
  INVALID_OPTION: 'An option has a value that is not allowed; the message names it.',
  INVALID_INPUT: "A job's input does not pass its task's schema, or is not JSON.",
  PAYLOAD_TOO_LARGE: "A job's input or result is larger than the limit of the app.",
  UNKNOWN_TASK: 'No task of that name is defined in this app.',
  UNKNOWN_QUEUE: 'No queue of that name is declared in this app.',
  DUPLICATE_TASK: 'Two tasks of one app have the same name.',
  ID_CONFLICT: "The caller's id already names a job with another task or input.",
  BROKER_URL: 'The broker URL cannot be used.',
  BROKER_UNAVAILABLE: 'The broker did not answer. What was sent may or may not have arrived.',
  BROKER_FULL: "The broker's memory is used up, and nothing was stored.",
  BROKER_CLOSED: 'The app was closed.',
  BROKER_SCHEMA: "The broker's schema is of another version than this release can use.",
  OUTBOX_TRANSACTION: 'The transaction cannot be used: it is not open, or in another database than the broker and the outbox.',
  OUTBOX_SCHEMA: "The outbox's tables are missing, or of another version than this release can use.",
  OUTBOX_UNAVAILABLE: 'The database of the outbox did not answer.',
  SCHEDULE_NOT_FOUND: 'No schedule has that name.',
  WORKER_NOT_FOUND: 'No living worker has that name.',
  BROKER_IN_USE: 'Workers live where jobs are to be moved away from; the message names them.',
  EMBEDDED_POSTGRES: 'The embedded Postgres could not be started.',
  JOB_NOT_FOUND: 'No job has that id, or it ended and its result has expired.',
  JOB_FAILED: 'The job failed for good; `cause` has its last error.',
  JOB_CANCELLED: 'The job was cancelled.',
  JOB_EXPIRED: 'The job expired before a worker took it.',
  RESULT_NOT_KEPT: 'The task keeps no results.',
  RESULT_TIMEOUT: 'The result was not there in time; the job goes on.',
  TIME_LIMIT: 'An attempt took longer than its time limit.',
  HOOK_FAILED: 'A set-up hook of the app failed.',
  POOL_START: 'No child process of the pool could start.',
  LEASE_LOST: 'The worker that ran the attempt was lost, or lost its lease.',
  POISON_JOB: 'The job was lost three times while it ran alone: it is taken to kill its worker.',
  UNKNOWN_TASK_GRACE: 'No worker knew the task of the job for the whole grace period.',
  BAD_ENVELOPE: 'What the broker holds for the job cannot be read.',
  TASK_ERROR: 'The task threw an error that has no code of its own.',
} as const;

/** A literal that names the kind of an error. */
export type ErrorCode = keyof typeof errorCodes;

/** Thrown by everything in the engine; `cause` holds the error beneath, where there is one. */
export class TaktlineError extends Error {
  override readonly name = 'TaktlineError';
  readonly code: ErrorCode;
  /** The job that the error speaks of, where there is one. After `BROKER_UNAVAILABLE` it may be sent again under this id. */
  readonly jobId: string | undefined;

  constructor(code: ErrorCode, message: string, options: { readonly cause?: unknown; readonly jobId?: string } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.jobId = options.jobId;
  }
}
