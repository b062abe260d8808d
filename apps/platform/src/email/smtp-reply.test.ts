import { describe, expect, it } from 'vitest';
import { classifySmtpError, scrubReply } from './smtp-reply.ts';

const recipient = 'ann.smith@example.com';
const reply = (command: string, response: string) =>
  classifySmtpError(
    Object.assign(new Error(`failed: ${response}`), { code: 'EENVELOPE', command, response, responseCode: Number(response.slice(0, 3)) }),
    recipient,
  );

describe('classifySmtpError', () => {
  it.each([
    ['RCPT TO', '451 4.7.1 Greylisted, try again', false],
    ['RCPT TO', '452 4.2.2 Mailbox full', false],
    ['DATA', '450 busy', false],
    ['MAIL FROM', '421 closing', true],
    ['CONN', '554 no service', true],
    ['AUTH PLAIN', '535 5.7.8 Bad credentials', true],
    ['MAIL FROM', '530 5.7.0 Authentication required', true],
    ['RCPT TO', '503 bad sequence', true],
  ])('%s answered by %j is deferred (broken: %s)', (command, response, broken) => {
    expect(reply(command, response)).toMatchObject({ kind: 'deferred', broken });
  });

  it.each([
    ['RCPT TO', '550 5.1.1 No such user', true],
    ['RCPT TO', '550 no such user', true],
    ['RCPT TO', '551 not local', true],
    ['RCPT TO', '553 5.1.3 bad mailbox name', true],
    ['RCPT TO', '550 5.7.1 Relaying denied', false],
    ['RCPT TO', '552 5.2.2 Over quota', false],
    ['DATA', '550 5.7.1 This looks like spam', false],
    ['DATA', '554 rejected', false],
    ['MAIL FROM', '550 sender unknown', false],
    ['MAIL FROM', '552 message too large', false],
  ])('%s answered by %j is bounced (mailbox: %s)', (command, response, mailbox) => {
    expect(reply(command, response)).toMatchObject({ kind: 'bounced', mailbox });
  });

  it.each(['ECONNECTION', 'ETIMEDOUT', 'EDNS', 'ETLS', 'ESOCKET'])('%s is deferred, and others will fail as well', (code) => {
    const failure = classifySmtpError(Object.assign(new Error('no'), { code }), recipient);
    expect(failure).toMatchObject({ kind: 'deferred', broken: true, reply: undefined });
    expect(failure.reason).toContain(code);
  });

  it.each([undefined, null, 'text', new Error('x')])('takes whatever is thrown: %s', (error) => {
    expect(classifySmtpError(error, recipient)).toMatchObject({ kind: 'deferred', broken: true });
  });

  it('shows no address and no text of the server in the reason', () => {
    const failure = reply('RCPT TO', '550 5.1.1 <ann.smith@example.com>: user ann.smith unknown');
    expect(failure.reason).toBe('the mail server refused the mail for good (550 5.1.1)');
    expect(failure.reply?.text).toBe('550 5.1.1 <address>: user <address> unknown');
  });
});

describe('scrubReply', () => {
  it('cuts out every address, folds lines and bounds the length', () => {
    expect(scrubReply('550-No\r\n550 for ANN.SMITH@Example.com or bob@other.example\u0007', recipient)).toBe(
      '550-No 550 for <address> or <address>',
    );
    expect(scrubReply('x'.repeat(1000), recipient)).toHaveLength(300);
  });

  it('takes a local part for text, not for a pattern', () => {
    expect(scrubReply('550 axb a+b', 'a+b@example.com')).toBe('550 axb <address>');
  });
});
