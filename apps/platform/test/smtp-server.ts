/** A real SMTP server for tests: it answers as it is told to, and keeps what it takes. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { type ParsedMail, simpleParser } from 'mailparser';
import { SMTPServer, type SMTPServerOptions } from 'smtp-server';
import type { SmtpSettings } from '../src/settings.ts';

export interface TakenMail {
  readonly from: string;
  readonly to: readonly string[];
  readonly raw: string;
  readonly parsed: ParsedMail;
  /** Number of the connection that it came over, from 1. */
  readonly connection: number;
}

/** An answer such as `451 4.7.1 later`; undefined lets it pass. */
export type Answer = string | undefined;

export interface SmtpScript {
  readonly connect?: () => Answer;
  readonly rcpt?: (address: string) => Answer;
  readonly mailFrom?: (address: string) => Answer;
  /** Called when the mail has arrived whole. A promise delays the answer. */
  readonly data?: (mail: TakenMail) => Answer | Promise<Answer>;
  readonly options?: SMTPServerOptions;
}

export async function startSmtpServer(script: SmtpScript = {}) {
  const mails: TakenMail[] = [];
  const numbers = new Map<string, number>();
  const answer = (text: Answer) =>
    text === undefined ? undefined : Object.assign(new Error(text.slice(4)), { responseCode: Number(text.slice(0, 3)) });
  const server = new SMTPServer({
    disabledCommands: ['STARTTLS', 'AUTH'],
    authOptional: true,
    disableReverseLookup: true,
    closeTimeout: 200,
    logger: false,
    ...script.options,
    onConnect(session, done) {
      numbers.set(session.id, numbers.size + 1);
      done(answer(script.connect?.()));
    },
    onMailFrom: (address, _session, done) => done(answer(script.mailFrom?.(address.address))),
    onRcptTo: (address, _session, done) => done(answer(script.rcpt?.(address.address))),
    onData(stream, session, done) {
      const { envelope, id } = session;
      (async () => {
        const chunks: Buffer[] = [];
        for await (const chunk of stream) chunks.push(chunk as Buffer);
        const raw = Buffer.concat(chunks).toString('utf8');
        const mail = {
          from: envelope.mailFrom === false ? '' : envelope.mailFrom.address,
          to: envelope.rcptTo.map((recipient) => recipient.address),
          raw,
          parsed: await simpleParser(raw),
          connection: numbers.get(id) ?? 0,
        };
        const reply = answer(await script.data?.(mail));
        if (reply === undefined) mails.push(mail);
        done(reply);
      })().catch(done);
    },
  });
  server.on('error', () => {});
  server.listen(0, '127.0.0.1');
  await once(server.server, 'listening');
  const { port } = server.server.address() as AddressInfo;
  return {
    mails,
    connections: () => numbers.size,
    settings: (more: Partial<SmtpSettings> = {}): SmtpSettings => ({
      host: '127.0.0.1',
      port,
      secure: false,
      tls: 'off',
      user: undefined,
      password: undefined,
      ratePerSecond: 1_000,
      connections: 3,
      ...more,
    }),
    stop: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

export type TestSmtpServer = Awaited<ReturnType<typeof startSmtpServer>>;
