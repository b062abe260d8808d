/**
 * A mail server for development: it listens on loopback on a free port, takes what it is sent without login or TLS, and
 * keeps it in the store, so that a first start needs no mail server and no mail leaves the machine.
 */
import type { AddressInfo } from 'node:net';
import { simpleParser } from 'mailparser';
import { SMTPServer, type SMTPServerDataStream, type SMTPServerEnvelope } from 'smtp-server';
import { createMailboxRules, type MailboxRules } from './mailbox-rules.ts';
import type { MailboxMessage, MailboxStore } from './mailbox-store.ts';

export interface MailboxServer {
  readonly host: string;
  readonly port: number;
  /** Takes no more mail, and waits until open connections are done. */
  stop(): Promise<void>;
}

/** Larger mails are refused (552). */
const largestMail = 10 * 1024 * 1024;

export async function startMailboxServer(store: MailboxStore, rules: MailboxRules = createMailboxRules()): Promise<MailboxServer> {
  const host = '127.0.0.1';
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['AUTH', 'STARTTLS'],
    disableReverseLookup: true,
    size: largestMail,
    closeTimeout: 1_000,
    banner: 'Taktline local mailbox',
    onRcptTo: (address, _session, done) => done(rules.check(address.address)),
    onData: (stream, session, done) => {
      receive(stream, session.envelope).then(
        (message) => {
          if (stream.sizeExceeded) return done(Object.assign(new Error('5.3.4 Mail too large'), { responseCode: 552 }));
          store.add(message);
          done();
        },
        () => done(Object.assign(new Error('5.6.0 Mail cannot be read'), { responseCode: 554 })),
      );
    },
  });
  // A client that hangs up is no trouble of ours.
  server.on('error', () => {});
  await new Promise<void>((resolve, reject) => {
    server.server.once('error', reject);
    server.listen(0, host, () => {
      server.server.off('error', reject);
      resolve();
    });
  });
  return {
    host,
    port: (server.server.address() as AddressInfo).port,
    stop: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

async function receive(stream: SMTPServerDataStream, envelope: SMTPServerEnvelope): Promise<Omit<MailboxMessage, 'id'>> {
  const mail = await simpleParser(stream, { skipHtmlToText: true, skipTextToHtml: true });
  return {
    receivedAt: new Date(),
    from: mail.from?.text ?? (envelope.mailFrom ? envelope.mailFrom.address : ''),
    // The envelope says who gets the mail; headers may say anything.
    to: envelope.rcptTo.map((recipient) => recipient.address).join(', '),
    subject: mail.subject ?? '',
    text: mail.text ?? '',
    html: mail.html === false ? undefined : mail.html,
    headers: mail.headerLines.map((header) => header.line),
    bytes: stream.byteLength,
  };
}
