/**
 * What email.sendBulk and email.sendBatch do. The first cuts a list into batches, stores every recipient's record and
 * enqueues one follow-up job a batch, under ids that follow from the list, so that a second run makes nothing twice.
 * The second sends a batch over one SMTP connection; what one address does to it leaves the others alone.
 */
import { createHash } from 'node:crypto';
import { PermanentError, type TaskContext } from 'taktline';
import { type DeliveryDeps, type DeliveryResult, deliver } from './delivery.ts';
import type { IsJobAlive } from './delivery-records.ts';
import { batchJobId, type EmailBatches, recipientContext } from './email-batches.ts';
import { recordIdSchema, type SendBulkInput } from './email-input.ts';
import type { Mailer } from './mailer.ts';
import { domainOf, EmailDeferredError } from './send-one.ts';
import { TemplateError, type Templates } from './templates.ts';

export interface SendBulkDeps extends DeliveryDeps {
  readonly batches: EmailBatches;
  readonly mailer: Mailer;
  readonly isAlive: IsJobAlive;
  readonly batchSize: number;
  /** Enqueues email.sendBatch under the given job id. */
  readonly enqueueBatch: (batch: string, jobId: string) => Promise<unknown>;
}

export interface SendBulkResult {
  /** The campaign's id; its records are called `<id>:<recipient>`. */
  readonly bulk: string;
  readonly recipients: number;
  readonly batches: number;
  /** Recipients with an address or a name that no mail can carry. */
  readonly invalid: number;
  /** Recipients listed more than once. */
  readonly repeated: number;
}

/** Room for 100 thousand batches in each part. */
const positionsPerPart = 100_000;

export async function sendBulk(deps: SendBulkDeps, input: SendBulkInput, ctx: TaskContext): Promise<SendBulkResult> {
  refuseWhenNobodyFits(deps.templates, input);
  const bulkId = input.id ?? campaignId(ctx.id);
  const total = { batches: 0, invalid: 0, repeated: 0 };
  for (let from = 0; from < input.emails.length; from += deps.batchSize) {
    await ctx.heartbeat();
    const stored = await deps.batches.store({
      bulkId,
      position: input.part * positionsPerPart + total.batches,
      template: input.template,
      context: input.context,
      recipients: input.emails.slice(from, from + deps.batchSize),
      messageDomain: domainOf(deps.mailFrom.address),
    });
    await deps.enqueueBatch(stored.id, batchJobId(stored.id, 1));
    total.batches += 1;
    total.invalid += stored.invalid;
    total.repeated += stored.repeated;
    ctx.progress({ done: Math.min(from + deps.batchSize, input.emails.length), of: input.emails.length });
  }
  return { bulk: bulkId, recipients: input.emails.length, ...total };
}

/** A context that fits none of the recipients is a mistake in the call, better said once than for each of them. */
function refuseWhenNobodyFits(templates: Templates, { emails, template, context }: SendBulkInput): void {
  let problem: TemplateError | undefined;
  for (const email of emails) {
    try {
      templates.render(template, recipientContext(context, email));
      return;
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error;
      problem ??= error;
    }
  }
  throw new PermanentError(problem?.message ?? 'the list is empty');
}

/** A job's id as part of other ids, which are shorter. */
function campaignId(jobId: string): string {
  return recordIdSchema.safeParse(jobId).success ? jobId : createHash('sha256').update(jobId).digest('hex');
}

export type BatchCounts = Readonly<Record<DeliveryResult['kind'], number>>;

/** @throws EmailDeferredError when some recipients are to be tried again */
export async function sendBatch(deps: SendBulkDeps, batchId: string, ctx: TaskContext) {
  const batch = await deps.batches.find(batchId);
  if (batch === undefined) throw new PermanentError('there is no batch of that id');
  const records = await deps.batches.openRecords(batchId);
  const last = ctx.failures + 1 >= ctx.maxAttempts;
  const counts = { sent: 0, deferred: 0, bounced: 0, suppressed: 0, invalid: 0 } satisfies Record<DeliveryResult['kind'], number>;
  let broken: string | undefined;

  const sender = deps.mailer.openBatch();
  try {
    for (const [done, record] of records.entries()) {
      await ctx.heartbeat();
      const begun = await deps.records.beginExisting(record, ctx.id, deps.isAlive);
      // Final, or in the hands of another job, which was then enqueued for it on purpose.
      if (begun.kind !== 'claimed') continue;
      const context = recipientContext(batch.context, { context: begun.claim.record.context ?? {} });
      const result = await deliver(deps, { claim: begun.claim, context, sender, signal: ctx.signal, log: ctx.log, last });
      counts[result.kind] += 1;
      if (done % 10 === 9) ctx.progress({ done: done + 1, of: records.length });
      if (result.kind === 'deferred' && result.broken) {
        broken = result.reason;
        break;
      }
    }
  } finally {
    sender.close();
  }

  if (broken !== undefined && last) await deps.batches.failRest(batchId, ctx.id, broken);
  if (broken !== undefined) throw new EmailDeferredError(broken);
  if (counts.deferred > 0) throw new EmailDeferredError(`${counts.deferred} of the batch's recipients were refused for now`);
  return { batch: batchId, ...(await deps.batches.counts(batchId)) };
}
