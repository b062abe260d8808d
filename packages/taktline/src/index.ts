/** The public face of the engine. */
export { App, createApp, type ResultOf, type Task } from './app/app.ts';
export type { DeadLetterPage, DeadLetterQuery, DeadLetterView, Inspection, JobView } from './app/inspection.ts';
export type { AppOptions, WorkerOptions } from './app/settings.ts';
export type { CancelReply, QueueDeclaration } from './broker/broker.ts';
export type { Finding, QueueCounts, WorkerRecord } from './broker/inspector.ts';
export type { EnqueueManyOptions, EnqueueOneOptions, EnqueueOptions } from './client/client.ts';
export type { JobHandle } from './client/handle.ts';
export type { Duration } from './support/durations.ts';
export { jsonLogger, type LogFields, type Logger, type LogLevel, silentLogger } from './support/logger.ts';
export { onStopSignals } from './support/process-signals.ts';
export { type ErrorCode, errorCodes, TaktlineError } from './support/taktline-error.ts';
export type { AttemptRecord, ErrorRecord, JobState } from './task/job.ts';
export { type Discard, discard, type Outcome, PermanentError, type RetryLater, retryLater } from './task/outcome.ts';
export type { Backoff, RetryOptions } from './task/retry-policy.ts';
export type { InputSchema, TaskContext, TaskOptions } from './task/task.ts';
export { ShutdownSignal } from './worker/context.ts';
export type { Worker } from './worker/worker.ts';
