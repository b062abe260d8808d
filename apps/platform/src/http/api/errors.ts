/**
 * Errors as the API tells them: each code with its status and its title, in one table. The texts of the marketplace's own errors are
 * passed on where they say what to do; they hold nothing that the caller has sent.
 */
import type { Context } from 'hono';
import { HTTPException } from 'hono/http-exception';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { AccountError } from '../../accounts/account-error.ts';
import { TaxRuleError } from '../../invoices/tax-rules.ts';
import { MoneyError } from '../../money/money.ts';
import { NonConformanceError } from '../../orders/non-conformances.ts';
import { OfferError } from '../../orders/offers.ts';
import { OrderStateError } from '../../orders/order-states.ts';
import { OrderError } from '../../orders/orders.ts';
import { QuoteError } from '../../orders/quotes.ts';
import { PaymentError } from '../../payments/payments.ts';
import { RefundError } from '../../payments/refunds.ts';
import { notJson } from '../json-body.ts';
import { problem } from '../problem.ts';

interface Answer {
  readonly status: ContentfulStatusCode;
  readonly title: string;
}

/** Every code there is. */
export const answers = {
  INVALID_REQUEST: { status: 400, title: 'The request is not valid' },
  UNAUTHORISED: { status: 401, title: 'A good API key is needed, sent as a bearer token' },
  FORBIDDEN: { status: 403, title: 'This is not for a key of this role' },
  FORBIDDEN_ACTOR: { status: 403, title: 'Somebody else can make this event' },
  NOT_FOUND: { status: 404, title: 'There is nothing here for this key' },
  ILLEGAL_EVENT: { status: 409, title: 'The order is in a state in which this cannot happen' },
  GUARD: { status: 409, title: 'Something is missing for this event' },
  VERSION_CONFLICT: { status: 409, title: 'The order has changed meanwhile: read it again' },
  REFERENCE_TAKEN: { status: 409, title: 'The reference stands for something else already' },
  OFFER_OVER: { status: 409, title: 'This offer is over' },
  QUOTE_OVER: { status: 409, title: 'This quote is over' },
  PRICE_CHANGED: { status: 409, title: 'The quote has another price now: read it again' },
  QUOTED_TOO_OFTEN: { status: 409, title: 'This was quoted as often as it can be' },
  STILL_OPEN: { status: 409, title: 'Somebody may take the order yet: an offer or a quote is open' },
  NO_CAPACITY: { status: 409, title: 'The machine-hours are taken' },
  CONFLICT: { status: 409, title: 'There is one already, and it is another one' },
  MISMATCH: { status: 409, title: 'The payment provider knows this payment otherwise' },
  TOO_MANY_PAYMENT_METHODS: { status: 409, title: 'So many payment methods were tried for this order: write to the staff' },
  EMAIL_TAKEN: { status: 409, title: 'Another user has this email address' },
  VAT_ID_CHANGED: { status: 409, title: 'The user has another VAT id' },
  HAS_PROFILE: { status: 409, title: 'This user is a manufacturer already' },
  RATED: { status: 409, title: 'This order is rated already' },
  NOT_FAILED: { status: 409, title: 'This is no failed refund of the payment, or something stands for it already' },
  NOTHING_TO_TAKE_OVER: { status: 409, title: 'No more went back at the payment provider than is known here' },
  RESOLVED: { status: 409, title: 'This difference is resolved already' },
  TOO_LARGE: { status: 413, title: 'The body is too large' },
  NOT_JSON: { status: 415, title: 'The body must be JSON' },
  INVALID_AMOUNT: { status: 422, title: 'The amount is of another currency than it should be, or no card can be charged so much' },
  QUANTITY: { status: 422, title: 'These are more parts than were ordered, or none' },
  WRONG_HOURS: { status: 422, title: 'These are not the minutes that the order takes, in weeks until it is due' },
  OVER_BUDGET: { status: 422, title: 'This is more than the buyer pays' },
  REFUND_TOO_LARGE: { status: 422, title: 'More than was paid, and has neither gone back nor been paid out' },
  NOT_CAPTURED: { status: 422, title: 'Nothing was captured of this payment' },
  NOT_PAYABLE: { status: 422, title: 'Nothing is to be paid for this order now' },
  ORDER_OVER: { status: 422, title: 'Nothing is to be paid for this order any more' },
  RATE_UNKNOWN: { status: 422, title: 'The tax of this sale is not known: write to the staff' },
  VAT_ID_COUNTRY: { status: 422, title: 'The VAT id is one of another country than the user is in' },
  ADDRESS_MISSING: { status: 422, title: 'An address is needed for invoices' },
  WRONG_ROLE: { status: 422, title: 'The user has another role' },
  BELOW_BOOKED: { status: 422, title: 'A week would have less machine time than is booked in it' },
  TOO_MANY_REQUESTS: { status: 429, title: 'Too many requests of this user: wait' },
  TOO_MANY_BAD_KEYS: { status: 429, title: 'Too many keys that are not good: wait' },
  FAILED: { status: 500, title: 'The request failed' },
} as const satisfies Readonly<Record<string, Answer>>;

export type ApiErrorCode = keyof typeof answers;

export interface FieldError {
  /** Such as `weeks.0.minutes`. */
  readonly path: string;
  readonly message: string;
}

export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly code: ApiErrorCode;
  readonly errors: readonly FieldError[] | undefined;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    code: ApiErrorCode,
    { errors, headers = {} }: { errors?: readonly FieldError[]; headers?: Readonly<Record<string, string>> } = {},
  ) {
    super(answers[code].title);
    this.code = code;
    this.errors = errors;
    this.headers = headers;
  }
}

/** What is wrong with one field, where only the whole of a request shows it. */
export function invalid(path: string, message: string): ApiError {
  return new ApiError('INVALID_REQUEST', { errors: [{ path, message }] });
}

/** Errors of the marketplace; true where their texts may be told. */
const ours = [
  [OrderStateError, true],
  [OrderError, true],
  [OfferError, true],
  [QuoteError, true],
  [NonConformanceError, true],
  [RefundError, true],
  [AccountError, true],
  [PaymentError, false],
  [MoneyError, true],
  [TaxRuleError, false],
] as const;

/** @throws what is no error of a caller's */
export function answerTo(error: Error, c: Context): Response {
  if (error instanceof ApiError) {
    for (const [name, value] of Object.entries(error.headers)) c.header(name, value);
    return tell(c, error.code, error.errors === undefined ? {} : { errors: error.errors });
  }
  // Of the library that reads bodies, for a content type that is JSON and written in a way it does not know.
  if (error instanceof HTTPException && error.status === 415) return tell(c, 'NOT_JSON');
  // Of the same, for what it cannot parse.
  if (error instanceof HTTPException && error.status === 400) return problem(c, { ...notJson, extra: { code: 'INVALID_REQUEST' } });
  for (const [type, told] of ours) {
    // Which of several people it is not there for is not told either.
    if (error instanceof type) return tell(c, error.code, told && error.code !== 'NOT_FOUND' ? { detail: error.message } : {});
  }
  throw error;
}

function tell(c: Context, code: ApiErrorCode, more: { readonly detail?: string; readonly errors?: readonly FieldError[] } = {}): Response {
  return problem(c, { ...answers[code], ...more, extra: { code } });
}

/** The code of a problem that was told before a route was reached. */
export function codeOf(status: number): ApiErrorCode | undefined {
  const codes: Readonly<Record<number, ApiErrorCode>> = {
    400: 'INVALID_REQUEST',
    404: 'NOT_FOUND',
    413: 'TOO_LARGE',
    415: 'NOT_JSON',
    500: 'FAILED',
  };
  return codes[status];
}
