/**
 * The email tasks with their options: queues, limits, retries. What they do is in send-one.ts, send-bulk.ts and
 * retry-failed.ts; what they share is put together here, once for each app.
 */
import type { Transaction } from 'kysely';
import type { App, Duration, JobHandle } from 'taktline';
import type { z } from 'zod';
import type { PlatformDatabase } from '../database/database.ts';
import type { PlatformTables } from '../database/tables.ts';
import { retryPolicy } from '../failures.ts';
import { cutList } from './bulk-list.ts';
import { DeliveryRecords } from './delivery-records.ts';
import { EmailBatches } from './email-batches.ts';
import {
  type BulkRecipient,
  retryFailedInput,
  type SendBulkInput,
  type SendEmailInput,
  sendBatchInput,
  sendBulkInput,
  sendEmailInput,
} from './email-input.ts';
import type { Mailer } from './mailer.ts';
import { isAliveState, retryFailed, sendJobId } from './retry-failed.ts';
import { sendBatch, sendBulk } from './send-bulk.ts';
import { newDelivery, sendOne } from './send-one.ts';
import { Suppressions } from './suppressions.ts';
import type { Templates } from './templates.ts';
import type { UnsubscribeLinks } from './unsubscribe.ts';

export interface EmailDeps {
  readonly database: PlatformDatabase;
  readonly mailer: Mailer;
  readonly templates: Templates;
  readonly unsubscribe: UnsubscribeLinks;
  readonly mailFrom: { readonly name: string; readonly address: string };
  /** Pause before the second attempt; each further one is twice as long. Default 60 s, as the specification has it. */
  readonly retryInitial?: Duration;
  /** Recipients of bulk mail in one job, over one connection. Default 100. */
  readonly batchSize?: number;
}

export type EmailTasks = ReturnType<typeof emailTasks>;

/** Defines the email tasks in an app that has the queues email.normal, email.urgent and email.bulk. */
export function emailTasks(app: App, deps: EmailDeps) {
  const records = new DeliveryRecords(deps.database);
  const suppressions = new Suppressions(deps.database);
  const batches = new EmailBatches(deps.database);
  const jobState = (jobId: string) => app.handle(jobId).status();
  const shared = { ...deps, records, suppressions, isAlive: async (jobId: string) => isAliveState(await jobState(jobId)) };
  const bulk = {
    ...shared,
    batches,
    batchSize: deps.batchSize ?? 100,
    enqueueBatch: (batch: string, jobId: string) => sendBatchTask.applyAsync({ batch }, { id: jobId }),
  };

  const retry = { ...retryPolicy(deps.retryInitial), jitter: 0.1 } as const;
  const single = { input: sendEmailInput, retry, softTimeLimit: '20s', timeLimit: '30s', resultTtl: '1h' } as const;

  const sendEmail = app.task({
    ...single,
    name: 'email.send',
    queue: 'email.normal',
    run: (input, ctx) => sendOne(shared, 'normal', input, ctx),
  });

  const sendUrgent = app.task({
    ...single,
    name: 'email.sendUrgent',
    queue: 'email.urgent',
    run: (input, ctx) => sendOne(shared, 'urgent', input, ctx),
  });

  const sendBulkTask = app.task({
    name: 'email.sendBulk',
    queue: 'email.bulk',
    input: sendBulkInput,
    retry,
    softTimeLimit: '9m',
    timeLimit: '10m',
    run: (input, ctx) => sendBulk(bulk, input, ctx),
  });

  // A follow-up of email.sendBulk; nobody else has batches to name.
  const sendBatchTask = app.task({
    name: 'email.sendBatch',
    queue: 'email.bulk',
    input: sendBatchInput,
    retry,
    softTimeLimit: '9m',
    timeLimit: '10m',
    run: ({ batch }, ctx) => sendBatch(bulk, batch, ctx),
  });

  const retryFailedTask = app.task({
    name: 'email.retryFailed',
    queue: 'email.normal',
    input: retryFailedInput,
    softTimeLimit: '4m',
    timeLimit: '5m',
    run: ({ limit }, ctx) =>
      retryFailed(
        {
          records,
          jobState,
          now: Date.now,
          enqueueAgain: (record, id) => {
            if (record.batch_id !== null) return sendBatchTask.applyAsync({ batch: record.batch_id }, { id });
            const input = sendEmailInput.parse({
              email: { id: record.id, to: record.recipient, name: record.recipient_name },
              template: record.template,
              context: record.context ?? {},
            });
            return (record.kind === 'urgent' ? sendUrgent : sendEmail).applyAsync(input, { id });
          },
        },
        limit,
        ctx,
      ),
  });

  return {
    sendEmail,
    sendUrgent,
    sendBulk: sendBulkTask,
    sendBatch: sendBatchTask,
    retryFailed: retryFailedTask,
    records,
    suppressions,
    /**
     * Enqueues one mail under a job id that follows from its record, so that asking twice makes one job, and notes the
     * record as queued. The note comes second and may fail: the job makes the record itself.
     *
     * @throws TaktlineError `ID_CONFLICT` when the record's id was used for another mail
     */
    async enqueueRecord(input: SendEmailInput, { urgent = false } = {}) {
      const { email, template, context } = input;
      const handle = await (urgent ? sendUrgent : sendEmail).applyAsync(input, { id: sendJobId(email.id, 1) });
      const delivery = newDelivery(urgent ? 'urgent' : 'normal', { email, template, context }, deps.mailFrom);
      await records.noteQueued(delivery, handle.id).catch(() => app.logger.warn('a queued email could not be noted', { record: email.id }));
      return handle;
    },
    /**
     * Enqueues one mail with what it tells of: it is sent when the transaction commits, and not at all when it does not. The
     * same record makes one mail.
     */
    enqueueIn(transaction: Transaction<PlatformTables>, input: z.input<typeof sendEmailInput>) {
      return sendEmail.enqueue(input, { transaction, id: sendJobId(input.email.id, 1) });
    },
    /**
     * Enqueues email.sendBulk for a list of any length, in as many jobs as it takes.
     *
     * @param campaign its `id` makes a repetition harmless: everybody gets the mail once
     * @returns the handles of the jobs, in the order of the list
     */
    async enqueueBulk(
      campaign: Omit<SendBulkInput, 'id' | 'part' | 'emails'> & {
        readonly id: string;
        readonly emails: Iterable<BulkRecipient> | AsyncIterable<BulkRecipient>;
      },
    ) {
      const handles: JobHandle<Awaited<ReturnType<typeof sendBulk>>>[] = [];
      for await (const emails of cutList(campaign.emails)) {
        const part = handles.length;
        handles.push(
          await sendBulkTask.applyAsync({ ...campaign, emails: [...emails], part }, { id: `email-bulk:${campaign.id}:${part}` }),
        );
      }
      return handles;
    },
  };
}
