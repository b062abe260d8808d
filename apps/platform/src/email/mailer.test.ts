import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { type SmtpScript, startSmtpServer } from '../../test/smtp-server.ts';
import type { SmtpSettings } from '../settings.ts';
import { createMailer, type OutgoingMail } from './mailer.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function start(script: SmtpScript = {}, settings: Partial<SmtpSettings> = {}) {
  const server = await startSmtpServer(script);
  const mailer = createMailer(server.settings(settings));
  cleanups.push(
    () => server.stop(),
    () => mailer.close(),
  );
  return { server, mailer };
}

/** A signal of its own for each mail. */
const never = () => new AbortController().signal;

const mail: OutgoingMail = {
  from: { name: 'Taktline', address: 'taktline@taktline.example' },
  to: { name: 'Ann', address: 'ann@example.com' },
  subject: 'Hello',
  text: 'Hello Ann',
  html: '<p>Hello Ann</p>',
  messageId: '<1@taktline.example>',
};

describe('createMailer', () => {
  it('sends HTML and text with its headers', async () => {
    const { server, mailer } = await start();
    const outcome = await mailer.send({ ...mail, unsubscribeUrl: 'https://mail.example.com/unsubscribe?mail=a&signature=b' }, never());
    expect(outcome).toMatchObject({ kind: 'sent', reply: { code: 250 } });
    const taken = server.mails[0];
    expect(taken).toMatchObject({ from: 'taktline@taktline.example', to: ['ann@example.com'] });
    expect(taken?.parsed).toMatchObject({
      subject: 'Hello',
      messageId: '<1@taktline.example>',
      text: expect.stringContaining('Hello Ann'),
    });
    expect(taken?.parsed.html).toContain('<p>Hello Ann</p>');
    expect(taken?.raw).toContain('List-Unsubscribe: <https://mail.example.com/unsubscribe?mail=a&signature=b>\r\n');
    expect(taken?.raw).toContain('List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n');
    expect(taken?.raw).toContain('Auto-Submitted: auto-generated\r\n');
  });

  it('keeps a header a header, whatever stands in names and subjects', async () => {
    const { server, mailer } = await start();
    await mailer.send(
      { ...mail, to: { name: 'Ann\r\nBcc: eve@example.com', address: 'ann@example.com' }, subject: 'Hi\r\nBcc: eve@example.com' },
      never(),
    );
    const taken = server.mails[0];
    expect(taken?.to).toEqual(['ann@example.com']);
    expect(taken?.raw.split('\r\n\r\n')[0]).not.toMatch(/^bcc:/im);
  });

  it.each([
    ['451 4.7.1 later', { kind: 'deferred', broken: false, reply: { code: 451 } }],
    ['550 5.1.1 ann unknown', { kind: 'bounced', mailbox: true, reply: { code: 550, text: '550 5.1.1 <address> unknown' } }],
    ['554 5.7.1 policy', { kind: 'bounced', mailbox: false }],
  ])('says what %j to RCPT TO means, and goes on over the same connection', async (reply, expected) => {
    let refuse = true;
    const { server, mailer } = await start({ rcpt: () => (refuse ? reply : undefined) }, { connections: 1 });
    expect(await mailer.send(mail, never())).toMatchObject(expected);
    refuse = false;
    expect(await mailer.send(mail, never())).toMatchObject({ kind: 'sent' });
    expect(server.connections()).toBe(1);
  });

  it('says what a refusal of the content means', async () => {
    const { mailer } = await start({ data: () => '554 5.7.1 spam' });
    expect(await mailer.send(mail, never())).toMatchObject({ kind: 'bounced', mailbox: false });
  });

  it('sends a batch over one connection of its own', async () => {
    const { server, mailer } = await start({ rcpt: (address) => (address.startsWith('bad') ? '550 no' : undefined) });
    const batch = mailer.openBatch();
    for (const name of ['a', 'bad', 'c', 'd']) await batch.send({ ...mail, to: { name, address: `${name}@example.com` } }, never());
    batch.close();
    await mailer.send(mail, never());
    expect(server.mails.map((taken) => taken.connection)).toEqual([1, 1, 1, 2]);
  });

  it('opens no more connections than it may', async () => {
    const { server, mailer } = await start({}, { connections: 2 });
    await Promise.all(Array.from({ length: 20 }, () => mailer.send(mail, never())));
    expect(server.mails).toHaveLength(20);
    expect(server.connections()).toBeLessThanOrEqual(2);
  });

  it('keeps to the rate over the pool and batches together', async () => {
    const { mailer } = await start({}, { ratePerSecond: 50 });
    const batch = mailer.openBatch();
    cleanups.push(() => batch.close());
    const began = performance.now();
    await Promise.all(Array.from({ length: 30 }, (_, place) => (place % 2 ? batch : mailer).send(mail, never())));
    // 30 mails at 50 a second, 10 of which may go at once.
    expect(performance.now() - began).toBeGreaterThan(370);
  });

  it('defers when nobody listens', async () => {
    const { server, mailer } = await start();
    await server.stop();
    expect(await mailer.send(mail, never())).toMatchObject({ kind: 'deferred', broken: true, reply: undefined });
  });

  it('defers when the server breaks off in the middle, and does not send by itself again', async () => {
    let sockets = 0;
    const { mailer, port } = await startRaw((socket, line) => {
      if (line === undefined) {
        sockets += 1;
        socket.write('220 hi\r\n');
      } else if (line.startsWith('EHLO')) socket.write('250 hi\r\n');
      else if (line.startsWith('DATA')) socket.write('354 go\r\n');
      else if (line === '.') socket.destroy();
      else if (/^(MAIL|RCPT)/.test(line)) socket.write('250 ok\r\n');
    });
    expect(port).toBeGreaterThan(0);
    expect(await mailer.send(mail, never())).toMatchObject({ kind: 'deferred', broken: true });
    expect(sockets).toBe(1);
  });

  it('refuses a server without STARTTLS when TLS is required', async () => {
    const { server, mailer } = await start({}, { tls: 'required' });
    expect(await mailer.send(mail, never())).toMatchObject({ kind: 'deferred', broken: true });
    expect(server.mails).toHaveLength(0);
  });

  it.each(['required', 'optional'] as const)(
    'sends nothing to a server whose certificate nobody vouches for (STARTTLS %s)',
    async (tls) => {
      const { server, mailer } = await start({ options: { disabledCommands: ['AUTH'] } }, { tls });
      expect(await mailer.send(mail, never())).toMatchObject({ kind: 'deferred', broken: true });
      expect(server.connections()).toBe(1);
      expect(server.mails).toHaveLength(0);
    },
  );

  it('defers on a wrong password, since it says nothing about the mail', async () => {
    const { mailer } = await start(
      {
        options: {
          disabledCommands: ['STARTTLS'],
          authOptional: false,
          allowInsecureAuth: true,
          onAuth: (_auth, _session, done) => done(Object.assign(new Error('5.7.8 no'), { responseCode: 535 })),
        },
      },
      { user: 'app', password: 'wrong' },
    );
    expect(await mailer.send(mail, never())).toMatchObject({ kind: 'deferred', broken: true, reply: { code: 535 } });
  });

  it('stops when the signal aborts, also while the server is silent', async () => {
    const controller = new AbortController();
    const { mailer } = await start({
      data: () => {
        controller.abort(new Error('time is up'));
        return new Promise(() => {});
      },
    });
    await expect(mailer.send(mail, controller.signal)).rejects.toThrow('time is up');
    await expect(mailer.send(mail, controller.signal)).rejects.toThrow('time is up');
  });
});

/** A server that answers line by line, for what a real one would not do. */
async function startRaw(answer: (socket: Socket, line: string | undefined) => void) {
  const server = createServer((socket) => {
    let rest = '';
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      const lines = (rest + chunk.toString()).split('\r\n');
      rest = lines.pop() ?? '';
      for (const line of lines) answer(socket, line);
    });
    answer(socket, undefined);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const mailer = createMailer({
    host: '127.0.0.1',
    port,
    secure: false,
    tls: 'off',
    user: undefined,
    password: undefined,
    ratePerSecond: 100,
    connections: 1,
  });
  cleanups.push(
    () => new Promise((resolve) => server.close(resolve)),
    () => mailer.close(),
  );
  return { mailer, port };
}
