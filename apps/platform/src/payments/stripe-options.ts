/** What the Stripe adapter is told, checked at the start: a wrong secret is better known then than at the first payment. */
import { z } from 'zod';

export interface StripeGatewayOptions {
  /** Such as `sk_live_...`. */
  readonly secretKey: string;
  /** Of the webhook's endpoint, such as `whsec_...`. */
  readonly webhookSecret: string;
  /** Where the buyer's browser comes back to after 3-D Secure. */
  readonly returnUrl: string;
  /** Of a whole call, in milliseconds. Default 20,000. */
  readonly timeoutMs?: number;
  /** Where Stripe is. Default api.stripe.com, 443, https. */
  readonly host?: string;
  readonly port?: number;
  readonly protocol?: 'http' | 'https';
}

const secret = z.string().regex(/^[\x21-\x7e]+$/, { error: 'expected printable characters without spaces' });

const optionsSchema = z.object({
  secretKey: secret,
  webhookSecret: secret,
  returnUrl: z.url({ protocol: /^https?$/, error: 'expected an http or https URL' }),
  timeoutMs: z.int({ error: 'expected whole milliseconds' }).min(1).max(120_000).default(20_000),
  host: z.string().min(1).default('api.stripe.com'),
  port: z.int().min(1).max(65_535).default(443),
  protocol: z.enum(['http', 'https']).default('https'),
});

/** With defaults. @throws TypeError naming the options that are wrong, without their values */
export function checkOptions(options: StripeGatewayOptions) {
  const checked = optionsSchema.safeParse(options);
  if (checked.success) return checked.data;
  const problems = checked.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
  throw new TypeError(`options of the Stripe gateway: ${problems.join('; ')}`);
}
