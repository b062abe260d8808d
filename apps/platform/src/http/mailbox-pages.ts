/**
 * The local mailbox as pages and as JSON (`.json`, or an Accept header that asks for it). A mail's HTML is shown in a
 * sandboxed frame, served with a policy under which it can neither run a script nor load anything.
 */
import { type Context, Hono } from 'hono';
import { accepts } from 'hono/accepts';
import type { MailboxMessage, MailboxStore } from '../mailbox/mailbox-store.ts';
import { html, join, page } from './page.ts';
import { problem } from './problem.ts';

const defaultLimit = 25;
const highestLimit = 100;

export function mailboxPages(store: MailboxStore): Hono {
  const list = (c: Context, json: boolean) => {
    const number = wholeNumber(c, 'page', 1, 1_000_000);
    const limit = wholeNumber(c, 'limit', defaultLimit, highestLimit);
    if (number === undefined || limit === undefined) {
      return problem(c, { status: 400, title: 'page and limit are whole numbers from 1', detail: `limit is at most ${highestLimit}` });
    }
    const { messages, total } = store.page((number - 1) * limit, limit);
    if (json) return c.json({ total, page: number, limit, messages: messages.map(summary) });
    return c.html(listPage(messages, { total, number, limit }));
  };

  const show = (c: Context, id: string, json: boolean) => {
    const message = store.find(id);
    if (message === undefined) return problem(c, { status: 404, title: 'No such mail', detail: 'The mailbox keeps the newest mails only' });
    if (json) return c.json({ ...summary(message), text: message.text, html: message.html ?? null, headers: message.headers });
    return c.html(messagePage(message));
  };

  return new Hono()
    .get('/mailbox.json', (c) => list(c, true))
    .get('/mailbox', (c) => list(c, wantsJson(c)))
    .get('/mailbox/:id/html', (c) => {
      const message = store.find(c.req.param('id'));
      if (message?.html === undefined) return problem(c, { status: 404, title: 'No such mail, or it has no HTML' });
      return c.html(message.html);
    })
    .get('/mailbox/:id', (c) => {
      const id = c.req.param('id');
      return id.endsWith('.json') ? show(c, id.slice(0, -'.json'.length), true) : show(c, id, wantsJson(c));
    });
}

function wantsJson(c: Context): boolean {
  c.header('vary', 'accept');
  return accepts(c, { header: 'Accept', supports: ['text/html', 'application/json'], default: 'text/html' }) === 'application/json';
}

/** A query parameter given at most once, in digits; undefined when it is anything else. */
function wholeNumber(c: Context, name: string, otherwise: number, highest: number): number | undefined {
  const given = c.req.queries(name) ?? [];
  if (given.length === 0) return otherwise;
  const [text = ''] = given;
  const value = given.length === 1 && /^\d{1,7}$/.test(text) ? Number(text) : 0;
  return value >= 1 && value <= highest ? value : undefined;
}

function summary({ id, receivedAt, from, to, subject, bytes }: MailboxMessage) {
  return { id, receivedAt: receivedAt.toISOString(), from, to, subject, bytes };
}

function listPage(messages: readonly MailboxMessage[], { total, number, limit }: { total: number; number: number; limit: number }) {
  const link = (target: number, text: string) => html`<a href="/mailbox?page=${target}&amp;limit=${limit}">${text}</a>`;
  return page({
    title: 'Mailbox',
    ...(number === 1 ? { refresh: 5 } : {}),
    body: html`<h1>Mailbox</h1>
<p class="quiet">Mail goes here as long as no SMTP_URL is set. ${total} kept, newest first; they are gone when the process ends.</p>
<div class="card scroll">${
      messages.length === 0
        ? html`No mail yet.`
        : html`<table>
<tr><th class="nowrap">Received (UTC)</th><th>To</th><th>Subject</th></tr>
${join(messages.map((message) => html`<tr><td class="nowrap">${time(message.receivedAt)}</td><td>${message.to}</td><td><a href="/mailbox/${message.id}">${message.subject || '(no subject)'}</a></td></tr>`))}
</table>`
    }</div>
<nav>${number > 1 ? link(number - 1, 'Newer') : ''}${total > number * limit ? link(number + 1, 'Older') : ''}<a href="/mailbox.json">as JSON</a></nav>`,
  });
}

function messagePage(message: MailboxMessage) {
  return page({
    title: message.subject || '(no subject)',
    body: html`<p><a href="/mailbox">All mails</a></p>
<h1>${message.subject || '(no subject)'}</h1>
<div class="card"><table class="narrow">
<tr><th>From</th><td>${message.from}</td></tr>
<tr><th>To</th><td>${message.to}</td></tr>
<tr><th>Received</th><td>${time(message.receivedAt)} UTC, ${message.bytes} bytes</td></tr>
</table></div>
${message.html === undefined ? '' : html`<h2>HTML</h2><iframe sandbox title="HTML part" src="/mailbox/${message.id}/html"></iframe>`}
<h2>Text</h2>
<div class="card"><pre>${message.text === '' ? '(none)' : message.text}</pre></div>
<details><summary>Headers</summary><div class="card"><pre>${message.headers.join('\n')}</pre></div></details>
<p><a href="/mailbox/${message.id}.json">as JSON</a></p>`,
  });
}

function time(date: Date): string {
  return date.toISOString().slice(0, 19).replace('T', ' ');
}
