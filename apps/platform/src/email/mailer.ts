/**
 * The way to the mail server: a pool of SMTP connections for single mails, and one connection of its own for each bulk
 * batch, all under one rate. What the server answers comes back as a value; only an abort is thrown.
 *
 * SMTP cannot make a delivery happen exactly once: between the server's "250" and our note of it, a crash, a lost
 * connection or an abort leaves a mail that was taken but counts as not sent, and the next attempt sends it again. It
 * then has the same Message-ID, by which receiving systems can drop the second copy. docs/email.md says this to users.
 */
import { createTransport, type SMTPPoolOptions, type SMTPPoolSentMessageInfo, type Transporter } from 'nodemailer';
import type { SmtpSettings } from '../settings.ts';
import { createRateLimit } from './rate-limit.ts';
import { classifySmtpError, type DeliveryFailure, type SmtpReply, scrubReply } from './smtp-reply.ts';

/** One mail to one person. Nothing in it is parsed: names and addresses stay what they are. */
export interface OutgoingMail {
  readonly from: { readonly name: string; readonly address: string };
  readonly to: { readonly name: string; readonly address: string };
  readonly subject: string;
  readonly text: string;
  readonly html: string;
  /** With angle brackets. */
  readonly messageId: string;
  /** Where a POST ends the subscription (RFC 8058). Bulk mail must have it. */
  readonly unsubscribeUrl?: string;
}

export type DeliveryOutcome = { readonly kind: 'sent'; readonly reply: SmtpReply } | DeliveryFailure;

/** Sends mails one after another or at once. */
export interface MailSender {
  /**
   * @throws the signal's reason when it aborts; whether the mail went out is then unknown
   */
  send(mail: OutgoingMail, signal: AbortSignal): Promise<DeliveryOutcome>;
}

export interface Mailer extends MailSender {
  /** A sender with one connection of its own. Close it when the batch is done. */
  openBatch(): MailSender & { close(): void };
  close(): void;
}

/** A silent server costs a slot for this long at most; the tasks' own limit is 20 s. */
const timeouts = { connectionTimeout: 10_000, greetingTimeout: 10_000, socketTimeout: 15_000, dnsTimeout: 5_000 };

export function createMailer(smtp: SmtpSettings): Mailer {
  const rate = createRateLimit(smtp.ratePerSecond);
  const transport = openTransport(smtp, smtp.connections);
  const sendThrough = async (pool: Transporter<SMTPPoolSentMessageInfo>, mail: OutgoingMail, signal: AbortSignal) => {
    await rate.turn(signal);
    return deliver(pool, mail, signal);
  };
  return {
    send: (mail, signal) => sendThrough(transport, mail, signal),
    openBatch() {
      const batch = openTransport(smtp, 1);
      return { send: (mail, signal) => sendThrough(batch, mail, signal), close: () => batch.close() };
    },
    close: () => transport.close(),
  };
}

function openTransport(smtp: SmtpSettings, maxConnections: number): Transporter<SMTPPoolSentMessageInfo> {
  const options: SMTPPoolOptions & { pool: true } = {
    pool: true,
    host: smtp.host,
    port: smtp.port,
    secure: smtp.secure,
    requireTLS: smtp.tls === 'required',
    ignoreTLS: smtp.tls === 'off',
    ...(smtp.user === undefined ? {} : { auth: { user: smtp.user, pass: smtp.password ?? '' } }),
    ...timeouts,
    maxConnections,
    maxMessages: 1_000,
    // A pooled connection that the server closed meanwhile is replaced, once; nothing of the mail was sent by then.
    maxRequeues: 1,
    // Bodies are strings of ours. No text in them may make nodemailer read a file or fetch a URL.
    disableFileAccess: true,
    disableUrlAccess: true,
  };
  return createTransport(options);
}

async function deliver(pool: Transporter<SMTPPoolSentMessageInfo>, mail: OutgoingMail, signal: AbortSignal): Promise<DeliveryOutcome> {
  try {
    const info = await pool.sendMail({
      from: mail.from,
      to: mail.to,
      envelope: { from: mail.from.address, to: [mail.to.address] },
      subject: mail.subject,
      text: mail.text,
      html: mail.html,
      messageId: mail.messageId,
      headers: {
        // RFC 3834: no out-of-office answer is wanted.
        'Auto-Submitted': 'auto-generated',
        ...(mail.unsubscribeUrl === undefined
          ? {}
          : {
              'List-Unsubscribe': { prepared: true, value: `<${mail.unsubscribeUrl}>` },
              'List-Unsubscribe-Post': 'List-Unsubscribe=One-Click',
            }),
      },
      signal,
    });
    return { kind: 'sent', reply: { code: Number.parseInt(info.response, 10) || 250, text: scrubReply(info.response, mail.to.address) } };
  } catch (error) {
    signal.throwIfAborted();
    return classifySmtpError(error, mail.to.address);
  }
}
