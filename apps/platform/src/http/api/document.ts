/** The OpenAPI document: what stands in it beside the routes themselves. */
import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi';
import { paymentWebhookPath } from '../guards.ts';
import type { ApiEnv } from './authentication.ts';
import { json, keyScheme, problemSchema } from './route.ts';

const signatureScheme = 'payment_provider';

const description = `The marketplace for made parts: buyers post orders, manufacturers take them, money moves.

A key (\`Authorization: Bearer tlk_...\`) names its user, whose role says what it may do. What belongs to somebody else is answered like
what is not there: 404. Errors are problems as RFC 9457 has them, with a \`code\`. Lists come in pages, the newest first. Bodies are JSON
of at most 256 KiB, and a field that is not known is refused.

Each answer to a key says in \`ratelimit\` how many requests of its user can follow at once (\`r\`), and in how many seconds all can
(\`t\`); \`ratelimit-policy\` says how many those are. Whoever asks for more is answered 429, and \`retry-after\` says how long to wait.`;

const tags = [
  { name: 'Users', description: 'Users and their keys.' },
  { name: 'Manufacturers', description: 'What manufacturers can make, when and at which prices.' },
  { name: 'Orders', description: 'Orders and what happens to them.' },
  { name: 'Offers', description: 'Instant orders that manufacturers may take.' },
  { name: 'Quotes', description: 'Orders for which manufacturers are asked for a price.' },
  { name: 'Payments', description: 'Money that comes in and goes back.' },
  { name: 'Invoices', description: 'What was issued, in the name of the manufacturers.' },
  { name: 'Audit', description: 'Who has changed what.' },
  { name: 'Document', description: 'This document.' },
];

export const documentRoute = createRoute({
  method: 'get',
  path: '/openapi.json',
  operationId: 'readDocument',
  summary: 'This document',
  tags: ['Document'],
  security: [],
  responses: { 200: json('OpenAPI 3.1.', z.object({ openapi: z.string() }).meta({ id: 'Document' })) },
});

/** Adds what is no route of the API. */
export function registerOthers({ openAPIRegistry: registry }: OpenAPIHono<ApiEnv>): void {
  registry.registerComponent('securitySchemes', keyScheme, {
    type: 'http',
    scheme: 'bearer',
    description: 'A key of a user: tlk_ and 43 characters.',
  });
  registry.registerComponent('securitySchemes', signatureScheme, {
    type: 'apiKey',
    in: 'header',
    name: 'stripe-signature',
    description: 'The signature of the payment provider, by a secret that both know.',
  });
  const refusal = (text: string) => ({ description: text, content: { 'application/problem+json': { schema: problemSchema } } });
  registry.registerPath({
    method: 'post',
    path: paymentWebhookPath,
    operationId: 'paymentWebhook',
    summary: 'What the payment provider tells',
    description: 'Only that something has happened to an intent is believed: what it is the provider is asked. Twice is once.',
    tags: ['Payments'],
    security: [{ [signatureScheme]: [] }],
    request: {
      body: {
        required: true,
        content: {
          'application/json': {
            schema: z.looseObject({ id: z.string(), type: z.string(), data: z.looseObject({}) }).meta({
              id: 'PaymentProviderEvent',
              description: "An event of Stripe's.",
              examples: [{ id: 'evt_1', type: 'payment_intent.succeeded', data: {} }],
            }),
          },
        },
      },
    },
    responses: {
      204: { description: 'The job that looks at the payment is enqueued, or the intent is none of ours.' },
      400: refusal('It is not signed by the payment provider, or cannot be read.'),
      413: refusal('It is too large.'),
    },
  });
}

export function documentOf(api: OpenAPIHono<ApiEnv>) {
  return api.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'Taktline marketplace',
      version: '1',
      description,
      license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
    },
    servers: [{ url: '/', description: 'Where this document was read.' }],
    tags,
  });
}
