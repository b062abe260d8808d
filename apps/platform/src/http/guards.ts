/**
 * What is looked at before any route. The pages have no login, so they must be reached from this machine only: by its address on
 * loopback or by a name for it. That keeps out pages that point a name of theirs at 127.0.0.1 (DNS rebinding), and proxies that
 * were put before it: through those, only what asks for a proof of its own is reached. A proxy that passes on neither the name that it
 * was called by nor a header of its own looks like this machine, so that in production all but health asks for a key.
 */
import type { Context, MiddlewareHandler } from 'hono';
import { secureHeaders } from 'hono/secure-headers';
import { isLoopback } from '../settings.ts';
import { problem } from './problem.ts';

/** Where the links in mails lead: it asks for a signature of its own. */
export const unsubscribePath = '/unsubscribe';

/** Where the links to invoices lead: they are signed. */
export const invoicePath = '/invoices';

/** Where the payment provider tells what has happened: it signs what it sends. */
export const paymentWebhookPath = '/webhooks/payments';

/** Under it is the API: it asks for a key. */
export const apiPath = '/api/v1';

/** All else that is reached from outside. */
const publicPaths = new Set([unsubscribePath, invoicePath, paymentWebhookPath, '/style.css']);

/** They tell whether this process works, and nothing else. */
const healthPaths = new Set(['/healthz', '/readyz']);

/** What asks for a proof of its own, or needs none. */
export function isOpen({ req }: Context): boolean {
  return publicPaths.has(req.path) || isApi(req.path);
}

export function isHealth({ req }: Context): boolean {
  return healthPaths.has(req.path);
}

/** Headers by which a proxy says that the request comes from elsewhere. */
const proxyHeaders = ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'x-real-ip', 'via'];

/** @param publicUrl origin under which recipients reach this server, if there is one */
export function localOnly(publicUrl: string | undefined): MiddlewareHandler {
  const publicHost = publicUrl === undefined ? undefined : new URL(publicUrl).hostname;
  return async (c, next) => {
    const host = hostnameOf(c.req.header('host'));
    const local = host !== undefined && isLoopback(host.replace(/^\[|\]$/g, ''));
    if (!local && (host === undefined || host !== publicHost)) {
      return problem(c, { status: 403, title: 'This server does not answer for that host name' });
    }
    const proxied = proxyHeaders.some((name) => c.req.header(name) !== undefined);
    if ((!local || proxied) && !isOpen(c)) return problem(c, { status: 404, title: 'Not found' });
    return next();
  };
}

/**
 * Refuses what a page of another site sends (CSRF). Reading needs no check: nothing changes by it, and other sites
 * cannot see the answer. `/unsubscribe` is posted to by mail programs and `/webhooks/payments` by the payment provider: these carry
 * their own proof. So does a call of the API with a key: a page of another site could send that header only if we allowed it (CORS).
 */
export const sameOriginWrites: MiddlewareHandler = async (c, next) => {
  if (['GET', 'HEAD', 'OPTIONS'].includes(c.req.method) || c.req.path === unsubscribePath || c.req.path === paymentWebhookPath) {
    return next();
  }
  if (isApi(c.req.path) && c.req.header('authorization') !== undefined) return next();
  const origin = c.req.header('origin');
  const site = c.req.header('sec-fetch-site');
  const foreign = origin !== undefined && origin.toLowerCase() !== `http://${c.req.header('host')?.toLowerCase()}`;
  if (foreign || (site !== undefined && site !== 'same-origin' && site !== 'none')) {
    return problem(c, { status: 403, title: 'Requests from other sites are refused' });
  }
  return next();
};

/** No script runs on any page, and no other site may frame one. */
const pageHeaders = secureHeaders({
  contentSecurityPolicy: {
    defaultSrc: ["'none'"],
    styleSrc: ["'self'"],
    imgSrc: ["'self'", 'data:'],
    frameSrc: ["'self'"],
    formAction: ["'self'"],
    baseUri: ["'none'"],
    frameAncestors: ["'none'"],
  },
  xFrameOptions: 'DENY',
  referrerPolicy: 'no-referrer',
  strictTransportSecurity: false,
});

/** A mail's own HTML: styled as it came, with pictures that it carries itself, in a sandbox, framed by our page only. */
const mailHeaders = secureHeaders({
  contentSecurityPolicy: {
    sandbox: [],
    defaultSrc: ["'none'"],
    styleSrc: ["'unsafe-inline'"],
    imgSrc: ['data:'],
    baseUri: ["'none'"],
    frameAncestors: ["'self'"],
  },
  xFrameOptions: 'SAMEORIGIN',
  referrerPolicy: 'no-referrer',
  strictTransportSecurity: false,
});

/** Where the HTML of a mail is served. */
export const mailHtmlPath = /^\/mailbox\/[^/]+\/html$/;

export const safeHeaders: MiddlewareHandler = async (c, next) => {
  const headers = mailHtmlPath.test(c.req.path) ? mailHeaders : pageHeaders;
  const result = await headers(c, next);
  c.res.headers.set('cache-control', 'no-store');
  return result;
};

function isApi(path: string): boolean {
  return path.startsWith(`${apiPath}/`);
}

function hostnameOf(host: string | undefined): string | undefined {
  const url = `http://${host ?? ''}`;
  return host !== undefined && URL.canParse(url) ? new URL(url).hostname : undefined;
}
