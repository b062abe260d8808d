/** How the sample orders stand, for whoever has just started the platform: counts, the ledger, troubles, and what happened last. */
import { Hono } from 'hono';
import type { Count, StorySummary } from '../demo/story-summary.ts';
import { type Html, html, join, page } from './page.ts';

export interface StoryPageDeps {
  readonly summarise: () => Promise<StorySummary>;
  /** The clock of the demo, in milliseconds since the Unix epoch. */
  readonly now: () => number;
  /** How fast it goes. */
  readonly speed: number;
}

export function storyPage({ summarise, now, speed }: StoryPageDeps): Hono {
  return new Hono().get('/story', async (c) => {
    const { orders, payments, papers, ledger, troubles, events } = await summarise();
    return c.html(
      page({
        title: 'Sample orders',
        refresh: 2,
        body: html`<h1>Sample orders</h1>
<p class="quiet">It is ${minute(new Date(now()))} here: time goes ${speed} times as fast (DEMO_SPEED). What the people do is played; matching, payments, mails and invoices are the platform's own work.</p>
<div class="card"><table class="narrow">
<tr><th>Orders</th><td>${countList(orders)}</td></tr>
<tr><th>Payments</th><td>${countList(payments)}</td></tr>
<tr><th>Papers</th><td>${countList(papers)}</td></tr>
</table></div>
<h2>Troubles</h2>
<div class="card"><table class="narrow">
${join(troubles.map(({ order, what }) => html`<tr><th>order ${order}</th><td>${what}</td></tr>`))}
</table>${troubles.length === 0 ? 'None now.' : ''}</div>
<h2>What happened last</h2>
<div class="card scroll"><table>
<tr><th>When</th><th>Order</th><th>Event</th><th>State</th><th>By</th></tr>
${join(
  events.map(
    ({ at, order, event, from, to, actor }) =>
      html`<tr><td class="nowrap">${minute(at)}</td><td>${order}</td><td><code>${event}</code></td><td>${from === to ? to : `${from} → ${to}`}</td><td>${actor}</td></tr>`,
  ),
)}
</table></div>
<h2>Ledger</h2>
<div class="card"><table class="narrow">
${join(ledger.map(({ account, amounts }) => html`<tr><th>${account}</th><td>${amounts.join(', ')}</td></tr>`))}
</table>${ledger.length === 0 ? 'Nothing yet.' : ''}</div>`,
      }),
    );
  });
}

function countList(counts: readonly Count[]): Html {
  if (counts.length === 0) return html`<span class="quiet">none yet</span>`;
  return html`<span class="counts">${counts.map(({ name, count }) => html`<span><b>${count}</b> ${name.replaceAll('_', ' ')}</span>`)}</span>`;
}

/** Such as `2026-12-04 17:05`. */
function minute(at: Date): string {
  return at.toISOString().slice(0, 16).replace('T', ' ');
}
