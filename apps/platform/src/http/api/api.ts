/**
 * The marketplace over HTTP, under `/api/v1`: what every request passes first, each family of routes, and the document that describes
 * them. A further family is one more line here.
 */
import { OpenAPIHono } from '@hono/zod-openapi';
import { apiPath } from '../guards.ts';
import { audit } from './audit.ts';
import { type ApiEnv, keyed, limited } from './authentication.ts';
import type { ApiDeps } from './deps.ts';
import { documentOf, documentRoute, registerOthers } from './document.ts';
import { answerTo } from './errors.ts';
import { invoices } from './invoices.ts';
import { manufacturers } from './manufacturers.ts';
import { offers } from './offers.ts';
import { orderParts } from './order-parts.ts';
import { orders } from './orders.ts';
import { paymentDifferences } from './payment-differences.ts';
import { payments } from './payments.ts';
import { quotes } from './quotes.ts';
import { coded, refuseInvalid } from './refusals.ts';
import { UserRates } from './user-rates.ts';
import { users } from './users.ts';

export type { ApiDeps } from './deps.ts';

export function api(deps: ApiDeps): OpenAPIHono<ApiEnv> {
  const { database, requestRate = 50 } = deps;
  const routes = new OpenAPIHono<ApiEnv>({ defaultHook: refuseInvalid });
  const whole = new OpenAPIHono<ApiEnv>();
  let document: ReturnType<typeof documentOf> | undefined;

  routes.onError(answerTo);
  routes.use(coded);
  // Before the key is asked for: whoever writes a client reads it first.
  routes.openapi(documentRoute, (c) => {
    document ??= documentOf(whole);
    return c.json({ ...document }, 200);
  });
  routes.use(keyed(database), limited(new UserRates({ perSecond: requestRate })));
  for (const family of [
    users(database),
    manufacturers(deps),
    orders(deps),
    orderParts(deps),
    offers(deps),
    quotes(deps),
    payments(deps),
    invoices(deps),
    paymentDifferences(deps),
    audit(database),
  ]) {
    routes.route('/', family);
  }

  whole.route(apiPath, routes);
  registerOthers(whole);
  return whole;
}
