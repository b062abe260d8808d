/** Puts the HTTP interface together: what is checked before any route, and every route there is. */
import { healthRoutes, type Measured, metricsRoutes } from '@taktline/monitor';
import { Hono } from 'hono';
import { except } from 'hono/combine';
import type { Logger } from 'taktline';
import type { MailboxStore } from '../mailbox/mailbox-store.ts';
import { type ApiDeps, api } from './api/api.ts';
import { keyed, only } from './api/authentication.ts';
import { ApiError, answerTo } from './api/errors.ts';
import { type EmailApiDeps, emailApi } from './email-api.ts';
import { isHealth, isOpen, localOnly, safeHeaders, sameOriginWrites } from './guards.ts';
import { type HomePageOptions, homePage } from './home-page.ts';
import { type InvoicePagesDeps, invoicePages } from './invoice-pages.ts';
import { mailboxPages } from './mailbox-pages.ts';
import { styleSheet } from './page.ts';
import { type PaymentWebhookDeps, paymentWebhooks } from './payment-webhooks.ts';
import { problem } from './problem.ts';
import { type StoryPageDeps, storyPage } from './story-page.ts';
import { type UnsubscribePagesDeps, unsubscribePages } from './unsubscribe-pages.ts';

export interface RoutesDeps
  extends EmailApiDeps,
    UnsubscribePagesDeps,
    InvoicePagesDeps,
    PaymentWebhookDeps,
    Pick<HomePageOptions, 'queues' | 'tasks'> {
  readonly app: { ping(): Promise<void> } & Measured;
  /** What must answer for this process to be ready, besides the broker. */
  readonly checks: Readonly<Record<string, () => Promise<void>>>;
  /** Undefined when mails go to a real server. */
  readonly mailbox: MailboxStore | undefined;
  /** Undefined without sample orders. */
  readonly story: StoryPageDeps | undefined;
  readonly publicUrl: string | undefined;
  /** What else is for this machine asks for a key of the staff then, and the pages for whoever looks around are not there. */
  readonly production: boolean;
  /** What the marketplace's API works with. */
  readonly market: ApiDeps;
  readonly logger: Logger;
}

export function routes(deps: RoutesDeps): Hono {
  const app = new Hono().use(safeHeaders, localOnly(deps.publicUrl), sameOriginWrites);
  if (deps.production) app.use(except([isOpen, isHealth], keyed(deps.market.database), only(['staff'])));
  app
    .get('/style.css', (c) => c.body(styleSheet, 200, { 'content-type': 'text/css; charset=utf-8' }))
    .route('/', healthRoutes(deps.app, deps.checks, { timeoutMs: 2_000 }))
    .route('/', metricsRoutes(deps.app, { timeoutMs: 2_000 }))
    .route('/', emailApi(deps))
    .route('/', unsubscribePages(deps))
    .route('/', invoicePages(deps))
    .route('/', paymentWebhooks(deps))
    .route('/', api(deps.market));
  if (!deps.production) {
    app.route('/', homePage({ ...deps, mailbox: deps.mailbox !== undefined, story: deps.story !== undefined }));
    if (deps.mailbox !== undefined) app.route('/', mailboxPages(deps.mailbox));
    if (deps.story !== undefined) app.route('/', storyPage(deps.story));
  }

  app.notFound((c) => problem(c, { status: 404, title: 'Not found' }));
  app.onError((error, c) => {
    if (error instanceof ApiError) return answerTo(error, c);
    // A message can quote what somebody sent; where it happened is enough to find it.
    const frames = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line));
    deps.logger.error('a request failed', { method: c.req.method, route: c.req.routePath, error: error.name, at: frames.slice(0, 5) });
    return problem(c, { status: 500, title: 'The request failed' });
  });
  return app;
}
