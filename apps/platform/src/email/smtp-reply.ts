/**
 * What a failed delivery means. SMTP answers with a code (RFC 5321) and often an enhanced one (RFC 3463): 4xx asks to
 * come back later, 5xx refuses for good. A refusal concerns this mail only when it answers RCPT TO, MAIL FROM or DATA;
 * before that (connect, TLS, login) it is trouble with the service, which a later attempt may find mended.
 */

/** A server's answer, fit to be stored and shown: the text has no address in it. */
export interface SmtpReply {
  readonly code: number;
  readonly text: string;
}

export type DeliveryFailure =
  /** Refused for now, or not reached. `broken`: the connection or the service failed, so others will fail as well. */
  | { readonly kind: 'deferred'; readonly reply: SmtpReply | undefined; readonly reason: string; readonly broken: boolean }
  /** Refused for good. `mailbox`: because the address does not exist or takes no mail. */
  | { readonly kind: 'bounced'; readonly reply: SmtpReply; readonly reason: string; readonly mailbox: boolean };

/** The fields of nodemailer's errors that are read here. */
interface SmtpError {
  readonly code?: unknown;
  readonly command?: unknown;
  readonly responseCode?: unknown;
  readonly response?: unknown;
}

/** Commands whose 5xx answer concerns the mail. */
const mailCommands = new Set(['MAIL FROM', 'RCPT TO', 'DATA']);

/** 5xx that speak of the session: bad sequence, login needed or failed, encryption needed. */
const sessionCodes = new Set([503, 530, 534, 535, 538]);

/** Answers to RCPT TO that speak of the mailbox: unavailable, not local, name not allowed. */
const mailboxCodes = new Set([550, 551, 553]);

/**
 * Tells what an error thrown by nodemailer means.
 *
 * @param recipient is cut out of the reply, which often quotes it
 */
export function classifySmtpError(error: unknown, recipient: string): DeliveryFailure {
  const { code, command, responseCode, response } = (typeof error === 'object' && error !== null ? error : {}) as SmtpError;
  if (typeof responseCode !== 'number' || typeof response !== 'string') {
    const what = typeof code === 'string' && /^[A-Z_]{2,40}$/.test(code) ? code : 'unknown error';
    return { kind: 'deferred', reply: undefined, reason: `the mail server could not be reached or broke off (${what})`, broken: true };
  }
  const reply = { code: responseCode, text: scrubReply(response, recipient) };
  const enhanced = /^\d{3}[ -](\d\.\d{1,3}\.\d{1,3})\b/.exec(response)?.[1];
  const shown = enhanced === undefined ? String(responseCode) : `${responseCode} ${enhanced}`;
  const concernsMail = typeof command === 'string' && mailCommands.has(command) && !sessionCodes.has(responseCode);
  if (responseCode >= 500 && responseCode < 600 && concernsMail) {
    const mailbox = command === 'RCPT TO' && mailboxCodes.has(responseCode) && !speaksOfPolicy(enhanced);
    return { kind: 'bounced', reply, reason: `the mail server refused the mail for good (${shown})`, mailbox };
  }
  const reason = concernsMail
    ? `the mail server asked to come back later (${shown})`
    : `the mail server did not serve this client (${shown})`;
  return { kind: 'deferred', reply, reason, broken: !concernsMail || responseCode === 421 };
}

/** X.7.Y refuses the sender or the content, not the mailbox: no ground to suppress the address. */
function speaksOfPolicy(enhanced: string | undefined): boolean {
  return enhanced?.startsWith('5.7.') ?? false;
}

/** At most 300 printable characters of a server's answer, with addresses and the recipient's name taken out. */
export function scrubReply(text: string, recipient: string): string {
  const local = recipient.slice(0, recipient.lastIndexOf('@'));
  let clean = text.replace(/[\p{C}\s]+/gu, ' ');
  for (const secret of [recipient, local]) {
    if (secret.length >= 3) clean = clean.replace(new RegExp(escapeRegExp(secret), 'giu'), '<address>');
  }
  clean = clean.replace(/[^\s<>"'(),;:[\]]+@[^\s<>"'(),;:[\]]+/g, '<address>');
  return clean.replaceAll('<<address>>', '<address>').trim().slice(0, 300);
}

function escapeRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
}
