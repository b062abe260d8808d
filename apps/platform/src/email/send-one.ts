/**
 * What email.send and email.sendUrgent do: take the record in hand, deliver, and turn what became of it into the job's
 * result, a retry or a dead letter. A record that is final already is not sent again; its outcome is returned.
 */
import { PermanentError, retryLater, type TaskContext } from 'taktline';
import { type DeliveryDeps, deliver } from './delivery.ts';
import type { DeliveryRecord, IsJobAlive, NewDelivery } from './delivery-records.ts';
import type { SendEmailInput } from './email-input.ts';
import type { Mailer } from './mailer.ts';

export interface SendEmailResult {
  /** Id of the delivery record. */
  readonly record: string;
  readonly status: 'sent' | 'suppressed';
  readonly messageId: string;
  /** The mail server's code; null when it was not asked. */
  readonly replyCode: number | null;
}

/** The mail was refused for now; the job's backoff decides when it is tried again. */
export class EmailDeferredError extends Error {
  override readonly name = 'EmailDeferredError';
  readonly code = 'EMAIL_DEFERRED';
}

export interface SendOneDeps extends DeliveryDeps {
  readonly mailer: Mailer;
  readonly isAlive: IsJobAlive;
}

/** @throws EmailDeferredError to be retried; PermanentError when it will never be sent */
export async function sendOne(deps: SendOneDeps, kind: 'normal' | 'urgent', input: SendEmailInput, ctx: TaskContext) {
  const begun = await deps.records.begin(newDelivery(kind, input, deps.mailFrom), ctx.id, deps.isAlive);
  if (begun.kind === 'conflict')
    throw new PermanentError('the id of this email stands for another one already; every email needs an id of its own');
  if (begun.kind === 'elsewhere') return retryLater('1m', 'another job is sending this email');
  if (begun.kind === 'final') return resultOf(begun.record);

  const last = ctx.failures + 1 >= ctx.maxAttempts;
  const result = await deliver(deps, {
    claim: begun.claim,
    context: input.context,
    sender: deps.mailer,
    signal: ctx.signal,
    log: ctx.log,
    last,
  });
  switch (result.kind) {
    case 'sent':
      return resultOf({ ...begun.claim.record, status: 'sent', reply_code: result.reply.code });
    case 'suppressed':
      return resultOf({ ...begun.claim.record, status: 'suppressed' });
    case 'deferred':
      throw new EmailDeferredError(result.reason);
    default:
      throw new PermanentError(result.reason);
  }
}

function resultOf(record: Pick<DeliveryRecord, 'id' | 'status' | 'message_id' | 'reply_code'>): SendEmailResult {
  if (record.status !== 'sent' && record.status !== 'suppressed') {
    throw new PermanentError(`the mail server refused this email for good (${record.reply_code}); it is not sent again`);
  }
  return { record: record.id, status: record.status, messageId: record.message_id, replyCode: record.reply_code };
}

/** What the record of a single mail is made from. */
export function newDelivery(
  kind: 'normal' | 'urgent',
  { email, template, context }: SendEmailInput,
  mailFrom: { readonly address: string },
): NewDelivery {
  return {
    id: email.id,
    kind,
    template,
    recipient: email.to,
    recipientName: email.name ?? '',
    context,
    messageDomain: domainOf(mailFrom.address),
  };
}

export function domainOf(address: string): string {
  return address.slice(address.lastIndexOf('@') + 1);
}
