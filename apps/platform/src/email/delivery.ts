/**
 * One attempt to deliver one record: is the address suppressed, can the mail be made, what does the server say - and
 * the note of it in the record. Single mails and batches both go through here.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'taktline';
import type { SuppressionReason, TemplateContext } from '../database/tables.ts';
import type { DeliveryClaim, DeliveryRecords } from './delivery-records.ts';
import type { DeliveryOutcome, MailSender } from './mailer.ts';
import type { Suppressions } from './suppressions.ts';
import { TemplateError, type Templates } from './templates.ts';
import type { UnsubscribeLinks } from './unsubscribe.ts';

export interface DeliveryDeps {
  readonly records: DeliveryRecords;
  readonly suppressions: Suppressions;
  readonly templates: Templates;
  readonly unsubscribe: UnsubscribeLinks;
  readonly mailFrom: { readonly name: string; readonly address: string };
}

export interface DeliveryAttempt {
  readonly claim: DeliveryClaim;
  readonly context: TemplateContext;
  readonly sender: MailSender;
  readonly signal: AbortSignal;
  readonly log: Logger;
  /** No attempt of this job follows: what is refused for now counts as failed. */
  readonly last: boolean;
}

export type DeliveryResult =
  | DeliveryOutcome
  | { readonly kind: 'suppressed'; readonly reason: SuppressionReason }
  /** The mail cannot be made from its template and context. */
  | { readonly kind: 'invalid'; readonly reason: string };

/**
 * Delivers, and notes what became of it.
 *
 * @throws the signal's reason when it aborts, and the database's errors
 */
export async function deliver(deps: DeliveryDeps, attempt: DeliveryAttempt): Promise<DeliveryResult> {
  try {
    const result = await decide(deps, attempt);
    await note(deps, attempt, result);
    tell(attempt, result);
    return result;
  } catch (error) {
    if (attempt.signal.aborted) await noteStopped(deps, attempt);
    throw error;
  }
}

async function decide(deps: DeliveryDeps, { claim, context, sender, signal }: DeliveryAttempt): Promise<DeliveryResult> {
  const { record } = claim;
  const bulk = record.kind === 'bulk';
  const suppressed = await deps.suppressions.reasonFor(record.recipient, bulk);
  if (suppressed !== undefined) return { kind: 'suppressed', reason: suppressed };

  const unsubscribeUrl = bulk ? { unsubscribeUrl: deps.unsubscribe.urlFor(record.id) } : {};
  let rendered: ReturnType<Templates['render']>;
  try {
    rendered = deps.templates.render(record.template, context, unsubscribeUrl);
  } catch (error) {
    if (error instanceof TemplateError) return { kind: 'invalid', reason: error.message };
    throw error;
  }
  return sender.send(
    {
      from: deps.mailFrom,
      to: { name: record.recipient_name, address: record.recipient },
      messageId: record.message_id,
      ...rendered,
      ...unsubscribeUrl,
    },
    signal,
  );
}

async function note(deps: DeliveryDeps, { claim, last }: DeliveryAttempt, result: DeliveryResult): Promise<void> {
  switch (result.kind) {
    case 'sent':
      return persistently(() => deps.records.noteSent(claim, result.reply));
    case 'bounced':
      await deps.records.report(claim, { status: 'bounced', reply: result.reply });
      if (result.mailbox) await deps.suppressions.add(claim.record.recipient, 'bounce');
      return;
    case 'deferred':
      await deps.records.report(claim, { status: last ? 'failed' : 'deferred', reply: result.reply, reason: result.reason });
      return;
    case 'suppressed':
      await deps.records.report(claim, { status: 'suppressed', reason: `the address is suppressed: ${result.reason}` });
      return;
    case 'invalid':
      await deps.records.report(claim, { status: 'failed', reason: result.reason, mayRetry: false });
  }
}

/** One line for people who watch. It names the record, never the person. */
function tell({ claim, log }: DeliveryAttempt, result: DeliveryResult): void {
  const fields = { record: claim.id, template: claim.record.template };
  if (result.kind === 'sent') log.info('email sent', { ...fields, reply: result.reply.code });
  else log.warn(`email ${result.kind}`, { ...fields, reason: result.reason });
}

/** The job was stopped while the mail was on its way: a cancelled one stays away, any other comes back. */
async function noteStopped(deps: DeliveryDeps, { claim, signal }: DeliveryAttempt): Promise<void> {
  const cancelled = (signal.reason as { code?: unknown } | undefined)?.code === 'JOB_CANCELLED';
  await deps.records.report(
    claim,
    cancelled
      ? { status: 'failed', reason: 'the job was cancelled', mayRetry: false }
      : { status: 'queued', reason: 'stopped before the mail server had answered' },
  );
}

/** A database that is away for a moment must not make a mail that was taken count as not sent. */
async function persistently(write: () => Promise<void>): Promise<void> {
  for (let delayMs = 100; ; delayMs *= 2) {
    try {
      return await write();
    } catch (error) {
      if (delayMs > 2_000) throw error;
      await sleep(delayMs);
    }
  }
}
