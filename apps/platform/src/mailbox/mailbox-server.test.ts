import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createMailer, type Mailer, type OutgoingMail } from '../email/mailer.ts';
import { type MailboxServer, startMailboxServer } from './mailbox-server.ts';
import { MailboxStore } from './mailbox-store.ts';

let store: MailboxStore;
let server: MailboxServer;
let mailer: Mailer;
beforeEach(async () => {
  store = new MailboxStore();
  server = await startMailboxServer(store);
  mailer = createMailer({
    ...server,
    secure: false,
    tls: 'off',
    user: undefined,
    password: undefined,
    ratePerSecond: 1_000,
    connections: 2,
  });
});
afterEach(async () => {
  mailer.close();
  await server.stop();
});

const mail = (address: string, more: Partial<OutgoingMail> = {}): OutgoingMail => ({
  from: { name: 'Taktline', address: 'taktline@taktline.example' },
  to: { name: 'Ann', address },
  subject: 'Grüße',
  text: 'Hello',
  html: '<p>Hello</p>',
  messageId: '<1@taktline.example>',
  ...more,
});
const never = new AbortController().signal;

describe('the local mailbox', () => {
  it('keeps what it is sent', async () => {
    expect(server.host).toBe('127.0.0.1');
    expect(await mailer.send(mail('ann@example.com'), never)).toMatchObject({ kind: 'sent' });
    const [message] = store.page(0, 10).messages;
    expect(message).toMatchObject({ to: 'ann@example.com', subject: 'Grüße', html: expect.stringContaining('<p>Hello</p>') });
    expect(message?.from).toContain('taktline@taktline.example');
    expect(message?.text.trim()).toBe('Hello');
    expect(message?.headers.join('\n')).toContain('Message-ID: <1@taktline.example>');
  });

  it('answers 451 once for an address at later.example, and takes the mail then', async () => {
    expect(await mailer.send(mail('ann@later.example'), never)).toMatchObject({ kind: 'deferred', reply: { code: 451 } });
    expect(await mailer.send(mail('bob@later.example'), never)).toMatchObject({ kind: 'deferred' });
    expect(await mailer.send(mail('ann@later.example'), never)).toMatchObject({ kind: 'sent' });
  });

  it('refuses every address at refused.example for good', async () => {
    for (let time = 0; time < 2; time += 1) {
      expect(await mailer.send(mail('ann@refused.example'), never)).toMatchObject({ kind: 'bounced', mailbox: true, reply: { code: 550 } });
    }
    expect(store.page(0, 10).total).toBe(0);
  });

  it('refuses a mail that is too large', async () => {
    expect(await mailer.send(mail('ann@example.com', { text: 'x'.repeat(11 * 1024 * 1024) }), never)).toMatchObject({ kind: 'bounced' });
    expect(store.page(0, 10).total).toBe(0);
  });
});

describe('MailboxStore', () => {
  const message = (subject: string, bytes = 1) => ({
    receivedAt: new Date(),
    from: '',
    to: '',
    subject,
    text: '',
    html: undefined,
    headers: [],
    bytes,
  });

  it('keeps the newest, and shows them first', () => {
    const small = new MailboxStore({ messages: 3, bytes: 100 });
    for (const subject of ['a', 'b', 'c', 'd', 'e']) small.add(message(subject));
    expect(small.page(0, 2)).toMatchObject({ total: 3, messages: [{ subject: 'e' }, { subject: 'd' }] });
    expect(small.page(2, 2).messages.map((kept) => kept.subject)).toEqual(['c']);
  });

  it('keeps no more than its bytes', () => {
    const small = new MailboxStore({ messages: 10, bytes: 100 });
    const first = small.add(message('a', 60));
    small.add(message('b', 60));
    expect(small.page(0, 10).messages.map((kept) => kept.subject)).toEqual(['b']);
    expect(small.find(first.id)).toBeUndefined();
  });
});
