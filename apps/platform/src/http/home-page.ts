/** The first page: what runs here, where to look, and how to send a mail. */
import { Hono } from 'hono';
import type { PlatformQueue } from '../queues.ts';
import { apiPath } from './guards.ts';
import { html, join, page } from './page.ts';

export interface HomePageOptions {
  readonly queues: readonly PlatformQueue[];
  /** The names of the tasks that this process runs. */
  readonly tasks: readonly string[];
  /** Whether the local mailbox is used. */
  readonly mailbox: boolean;
  /** Whether sample orders are played. */
  readonly story: boolean;
}

export function homePage({ queues, tasks, mailbox, story }: HomePageOptions): Hono {
  return new Hono().get('/', (c) => {
    const base = `http://${c.req.header('host')}`;
    const example = `curl ${base}/api/emails -H 'content-type: application/json' \\
  -d '{"to": "ann@example.com", "template": "welcome", "context": {"user_name": "Ann"}}'`;
    return c.html(
      page({
        title: 'Home',
        body: html`<h1>The platform is running</h1>
<div class="card"><table class="narrow">
${story ? html`<tr><th>Sample orders</th><td><a href="/story">/story</a> <span class="quiet">orders are matched, paid for, made, invoiced and delivered while you watch</span></td></tr>` : ''}
${mailbox ? html`<tr><th>Mailbox</th><td><a href="/mailbox">/mailbox</a> <span class="quiet">the mails that were sent, kept on this machine</span></td></tr>` : ''}
<tr><th>API</th><td><a href="${apiPath}/openapi.json">${apiPath}/openapi.json</a> <span class="quiet">the marketplace, with a key (npm run accounts)</span></td></tr>
<tr><th>Health</th><td><a href="/healthz">/healthz</a> <span class="quiet">this process lives</span></td></tr>
<tr><th>Readiness</th><td><a href="/readyz">/readyz</a> <span class="quiet">broker and database answer</span></td></tr>
</table></div>
<h2>Send a mail</h2>
<div class="card"><pre>${example}</pre></div>
<h2>Tasks</h2>
<div class="card"><pre>${tasks.join('\n')}</pre></div>
<h2>Queues</h2>
<div class="card"><table>
<tr><th>Queue</th><th>Priority</th></tr>
${join(queues.map((queue) => html`<tr><td><code>${queue.name}</code></td><td>${queue.priority}</td></tr>`))}
</table></div>`,
      }),
    );
  });
}
