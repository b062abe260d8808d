/** A real SMTP server for tests: it answers as it is told to, and keeps what it takes. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { type ParsedMail, simpleParser } from 'mailparser';
import { SMTPServer, type SMTPServerOptions, type SMTPServerSession } from 'smtp-server';
import type { SmtpSettings } from '../src/settings.ts';

export interface TakenMail {
  readonly from: string;
  readonly to: readonly string[];
  readonly raw: string;
  readonly parsed: ParsedMail;
  /** Number of the connection that it came over, from 1. */
  readonly connection: number;
}

/** Of a mail that was taken. */
export interface TakenId {
  /** With angle brackets. */
  readonly messageId: string;
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
  /** Of mails that are taken only the ids are kept, and `data` is not asked: for very many of them. */
  readonly idsOnly?: boolean;
  readonly options?: SMTPServerOptions;
}

export async function startSmtpServer(script: SmtpScript = {}) {
  const mails: TakenMail[] = [];
  const ids: TakenId[] = [];
  const numbers = new Map<string, number>();
  const open = new Map<number, SMTPServerSession>();
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
      open.set(numbers.size, session);
      done(answer(script.connect?.()));
    },
    onClose(session, done) {
      open.delete(numbers.get(session.id) ?? 0);
      done();
    },
    onMailFrom: (address, _session, done) => done(answer(script.mailFrom?.(address.address))),
    onRcptTo: (address, _session, done) => done(answer(script.rcpt?.(address.address))),
    onData(stream, session, done) {
      const { envelope, id } = session;
      (async () => {
        const chunks: Buffer[] = [];
        for await (const chunk of stream) chunks.push(chunk as Buffer);
        const raw = Buffer.concat(chunks).toString('utf8');
        const connection = numbers.get(id) ?? 0;
        const taken = { messageId: messageIdIn(raw), connection };
        if (script.idsOnly === true) {
          ids.push(taken);
          return done();
        }
        const mail = {
          from: envelope.mailFrom === false ? '' : envelope.mailFrom.address,
          to: envelope.rcptTo.map((recipient) => recipient.address),
          raw,
          parsed: await simpleParser(raw),
          connection,
        };
        const reply = answer(await script.data?.(mail));
        if (reply === undefined) {
          mails.push(mail);
          ids.push(taken);
        }
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
    ids,
    connections: () => numbers.size,
    /** Numbers of the connections that stand now and are logged in under that name, where the script has logins. */
    connectionsOf: (user: string): readonly number[] => [...open].filter(([, session]) => session.user === user).map(([number]) => number),
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

/** The header may be folded before the id. */
function messageIdIn(raw: string): string {
  return /^Message-ID:\s*(<[^>]+>)/im.exec(raw)?.[1] ?? '';
}
