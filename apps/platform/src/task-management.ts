/**
 * Tasks as a program asks for them that has not got their code: their states, their queues, enqueueing and cancelling. It
 * finds the broker by the environment, as everything else of the platform does, and the tasks by what workers have
 * described of them, so that inputs are checked and sensitive fields are masked.
 */
import { type App, attachApp, type CancelReply, type Duration, type JobView, type QueueCounts, TaktlineError } from 'taktline';
import { readSettings } from './settings.ts';

export interface ScheduleTaskOptions {
  /** Such as `email.send`. */
  readonly task: string;
  readonly input?: unknown;
  /** Run it so long from now: a number of seconds, as the specification has it, or a duration such as `'5m'`. */
  readonly countdown?: Duration;
  /** Run it not before this time. Not beside `countdown`. */
  readonly eta?: Date;
  /** A second call with the same id makes no second job. */
  readonly id?: string;
}

export interface TaskManager {
  /** Undefined when nothing is known of the id, or its result has expired. */
  getTaskStatus(id: string): Promise<JobView | undefined>;
  /** The queues with their counts, highest priority first. */
  getQueueStatus(): Promise<readonly QueueCounts[]>;
  /** One that waits is cancelled at once; one that runs is asked to stop. */
  cancelTask(id: string): Promise<CancelReply>;
  /** Ends the connection to the broker; the next call opens another. */
  close(): Promise<void>;
}

export interface TaskScheduler {
  /** @throws TaktlineError `UNKNOWN_TASK`, `INVALID_INPUT`, `INVALID_OPTION` or `BROKER_UNAVAILABLE` */
  scheduleTask(options: ScheduleTaskOptions): Promise<{ readonly id: string }>;
}

export function taskManagement(app: () => App, close: () => Promise<void>): TaskManager & TaskScheduler {
  return {
    getTaskStatus: (id) => app().inspector.job(id),
    getQueueStatus: () => app().inspector.queues(),
    async cancelTask(id) {
      const [reply] = await app().cancel([id]);
      if (reply === undefined) throw new TaktlineError('JOB_NOT_FOUND', `nothing is known of job ${JSON.stringify(id)}`);
      return reply;
    },
    async scheduleTask({ task, input, countdown, eta, id }) {
      const handle = await app().call(task, input, {
        ...(countdown === undefined ? {} : { countdown: typeof countdown === 'number' ? countdown * 1_000 : countdown }),
        ...(eta === undefined ? {} : { eta }),
        ...(id === undefined ? {} : { id }),
      });
      return { id: handle.id };
    },
    close,
  };
}

let shared: App | undefined;

const management = taskManagement(
  () => {
    if (shared === undefined) {
      const { brokerUrl, folder } = readSettings(process.env);
      shared = attachApp({ brokerUrl: brokerUrl ?? `embedded:${folder}` });
    }
    return shared;
  },
  async () => {
    const app = shared;
    shared = undefined;
    await app?.close();
  },
);

export const taskManager: TaskManager = management;
export const taskScheduler: TaskScheduler = management;
