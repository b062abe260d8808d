/**
 * The subset of Stripe's HTTP API that the adapter uses, without the HTTP: a call comes in, an answer goes out, and what changed is
 * stored before that. Fields that it does not know are refused, so that a slip of the adapter does not pass unseen.
 */
import { createHash } from 'node:crypto';
import type { CardAnswer } from './sandbox-cards.ts';
import { allow, amountOf, currencyIn, listOf, numberOf, required, valuesOf } from './sandbox-forms.ts';
import type { SandboxIntent } from './sandbox-ledger.ts';
import { declineObject, disputeObject, newId, refundObject, seconds } from './sandbox-objects.ts';
import { cancelIntent, captureIntent, chargeIntent, confirmIntent, missing, refundIntent, StripeFault } from './sandbox-payments.ts';
import type { SandboxState } from './sandbox-state.ts';

export interface ApiCall {
  readonly method: string;
  readonly path: string;
  /** Of the query or the form. */
  readonly params: URLSearchParams;
  readonly idempotencyKey: string | undefined;
}

export interface ApiAnswer {
  readonly status: number;
  readonly body: string;
  /** It is a former one, told again. */
  readonly replayed: boolean;
  /** What the card makes of it. */
  readonly spoilt: CardAnswer | undefined;
}

export interface SandboxApiOptions {
  readonly state: SandboxState;
  /** How often a processing payment is asked for until it succeeds. */
  readonly processingQuestions: number;
  /** How long answers are kept under idempotency keys, in milliseconds. */
  readonly keysMs: number;
  /** How long it takes until a search finds what was made, in milliseconds. */
  readonly searchLagMs: number;
}

interface Outcome {
  readonly status: number;
  readonly body: object;
  readonly spoilt?: CardAnswer | undefined;
}

const internalError = JSON.stringify({ error: { type: 'api_error', message: 'An error occurred on our side.' } });

export class SandboxApi {
  readonly #options: SandboxApiOptions;
  readonly #state: SandboxState;
  readonly #keysInUse = new Set<string>();

  constructor(options: SandboxApiOptions) {
    this.#options = options;
    this.#state = options.state;
  }

  /**
   * Serves a call, or tells again what it was answered under its key.
   *
   * @param failure status 500 instead of the answer, after the call took effect or without that
   */
  handle(call: ApiCall, failure?: { readonly done: boolean }): ApiAnswer {
    const { idempotencyKey: key } = call;
    const kept = this.#kept(call);
    if (kept !== undefined) return kept;
    const outcome = failure?.done === false ? undefined : this.#serve(call);
    const answer =
      failure === undefined && outcome !== undefined
        ? { status: outcome.status, body: JSON.stringify(outcome.body), spoilt: outcome.spoilt }
        : { status: 500, body: internalError, spoilt: undefined };
    if (call.method === 'POST' && key !== undefined && outcome?.begun !== false) {
      const row = { id: key, call: textOf(call), status: answer.status, body: answer.body, at: this.#state.rules.now() };
      this.#state.ledger.change([{ table: 'answer', row }]);
    }
    this.#state.store();
    return { ...answer, replayed: false };
  }

  /** Takes the key for a call that is served later; until it is released, others with it are answered 409. */
  reserve(key: string | undefined): () => void {
    if (key === undefined || this.#keysInUse.has(key)) return () => {};
    this.#keysInUse.add(key);
    return () => this.#keysInUse.delete(key);
  }

  #serve(call: ApiCall): Outcome & { readonly begun: boolean } {
    try {
      return { ...this.#route(call), begun: true };
    } catch (error) {
      if (!(error instanceof StripeFault)) throw error;
      return { status: error.status, body: { error: error.error }, begun: error.begun };
    }
  }

  #route(call: ApiCall): Outcome {
    if (call.method === 'GET' && call.path === '/v1/payment_intents/search') return this.#search(call);
    const [, resource, id, verb] = /^\/v1\/(payment_intents|refunds|disputes)(?:\/(\w+))?(?:\/(\w+))?$/.exec(call.path) ?? [];
    switch (`${call.method} ${resource} ${id === undefined ? '' : 'id'} ${verb ?? ''}`.trim()) {
      case 'POST payment_intents':
        return this.#create(call);
      case 'GET payment_intents':
        return this.#listIntents(call);
      case 'GET payment_intents id':
        return this.#retrieve(call, id ?? '');
      case 'POST payment_intents id confirm':
        return this.#confirm(call, id ?? '');
      case 'POST payment_intents id capture':
        return this.#capture(call, id ?? '');
      case 'POST payment_intents id cancel':
        return this.#cancel(call, id ?? '');
      case 'POST refunds':
        return this.#refund(call);
      case 'GET refunds':
        return this.#listRefunds(call);
      case 'GET disputes':
        return this.#listDisputes(call);
      default:
        throw new StripeFault(404, { message: `Unrecognized request URL (${call.method}: ${call.path}).` });
    }
  }

  #create(call: ApiCall): Outcome {
    allow(call, ['amount', 'currency', 'capture_method', 'allowed_payment_method_types[]', 'metadata[reference]', 'expand[]']);
    const currency = currencyIn(call);
    const amount = amountOf(call, 'amount');
    if (amount > (currency === 'idr' ? 999_999_999_999 : 99_999_999))
      throw new StripeFault(400, { code: 'amount_too_large', param: 'amount' });
    const method = call.params.get('capture_method') ?? 'automatic';
    if (method !== 'manual' && method !== 'automatic') throw new StripeFault(400, { param: 'capture_method' });
    if (!valuesOf(call, 'allowed_payment_method_types').every((type) => type === 'card'))
      throw new StripeFault(400, { param: 'allowed_payment_method_types' });
    const intent: SandboxIntent = {
      id: newId('pi'),
      reference: call.params.get('metadata[reference]') ?? undefined,
      amount,
      currency,
      manual: method === 'manual',
      status: 'requires_payment_method',
      paymentMethod: undefined,
      returnUrl: undefined,
      created: this.#state.rules.now(),
      attempts: 0,
      questions: 0,
      charge: undefined,
      error: undefined,
    };
    this.#state.take({ changes: [{ table: 'intent', row: intent }], events: ['payment_intent.created'] }, intent.id);
    return this.#tell(call, intent.id);
  }

  /** Asking is what brings a processing payment to its end. */
  #retrieve(call: ApiCall, id: string): Outcome {
    allow(call, ['expand[]']);
    const intent = this.#state.intent(id);
    if (intent.status === 'processing') {
      const asked = { ...intent, questions: intent.questions + 1 };
      if (asked.questions > this.#options.processingQuestions) this.#state.take(chargeIntent(this.#state.rules, asked), id);
      else this.#state.take({ changes: [{ table: 'intent', row: asked }], events: [] }, id);
    }
    return this.#tell(call, id);
  }

  #confirm(call: ApiCall, id: string): Outcome {
    allow(call, ['payment_method', 'return_url', 'expand[]']);
    const given = { paymentMethod: required(call, 'payment_method'), returnUrl: call.params.get('return_url') ?? undefined };
    const step = confirmIntent(this.#state.rules, this.#state.intent(id), given);
    this.#state.take(step, id);
    if (!step.declined) return { ...this.#tell(call, id), spoilt: step.answer };
    const intent = this.#state.intent(id);
    const error = {
      ...(intent.error === undefined ? {} : declineObject(intent.error)),
      payment_intent: this.#state.show(intent, false),
    };
    return { status: 402, body: { error } };
  }

  #capture(call: ApiCall, id: string): Outcome {
    allow(call, ['amount_to_capture', 'expand[]']);
    const amount = call.params.has('amount_to_capture') ? amountOf(call, 'amount_to_capture') : undefined;
    this.#state.take(captureIntent(this.#state.rules, this.#state.intent(id), amount), id);
    return this.#tell(call, id);
  }

  #cancel(call: ApiCall, id: string): Outcome {
    allow(call, ['expand[]']);
    this.#state.take(cancelIntent(this.#state.rules, this.#state.intent(id)), id);
    return this.#tell(call, id);
  }

  #refund(call: ApiCall): Outcome {
    allow(call, ['payment_intent', 'amount', 'metadata[reference]', 'expand[]']);
    const id = required(call, 'payment_intent');
    const intent = this.#state.ledger.intents.get(id);
    if (intent === undefined) throw missing('payment_intent', 'payment_intent', id);
    const step = refundIntent(this.#state.rules, intent, {
      amount: amountOf(call, 'amount'),
      reference: call.params.get('metadata[reference]') ?? undefined,
    });
    this.#state.take(step, id, step.refund.id);
    return { status: 200, body: refundObject(step.refund) };
  }

  #listIntents(call: ApiCall): Outcome {
    allow(call, ['limit', 'starting_after', 'created[gte]', 'created[lt]', 'expand[]']);
    const from = numberOf(call, 'created[gte]') ?? 0;
    const till = numberOf(call, 'created[lt]') ?? Infinity;
    const rows = [...this.#state.ledger.intents.values()]
      .toReversed()
      .filter(({ created }) => seconds(created) >= from && seconds(created) < till);
    const expanded = valuesOf(call, 'expand').includes('data.latest_charge');
    return listOf(call, rows, (intent) => this.#state.show(intent, expanded));
  }

  /** Of Stripe's query language, what the adapter says. */
  #search(call: ApiCall): Outcome {
    allow(call, ['query', 'limit', 'expand[]']);
    const [, reference, after] = /^metadata\['reference'\]:'([^'\\]+)' AND created>=(\d{1,12})$/.exec(required(call, 'query')) ?? [];
    if (reference === undefined) throw new StripeFault(400, { param: 'query', message: 'This sandbox cannot read the query.' });
    const searchable = this.#state.rules.now() - this.#options.searchLagMs;
    const rows = this.#state.ledger
      .intentsOf(reference)
      .filter(({ created }) => seconds(created) >= Number(after) && created <= searchable);
    const { body } = listOf(call, rows, (intent) => this.#state.show(intent, false));
    return { status: 200, body: { ...body, object: 'search_result' } };
  }

  #listRefunds(call: ApiCall): Outcome {
    allow(call, ['limit', 'starting_after', 'payment_intent']);
    const id = required(call, 'payment_intent');
    if (!this.#state.ledger.intents.has(id)) throw missing('payment_intent', 'payment_intent', id);
    const rows = [...this.#state.ledger.refunds.values()].toReversed().filter(({ intent }) => intent === id);
    return listOf(call, rows, refundObject);
  }

  #listDisputes(call: ApiCall): Outcome {
    allow(call, ['limit', 'starting_after', 'payment_intent']);
    const id = required(call, 'payment_intent');
    const rows = [...this.#state.ledger.disputes.values()].toReversed().filter(({ intent }) => intent === id);
    return listOf(call, rows, disputeObject);
  }

  #tell(call: ApiCall, id: string): Outcome {
    return { status: 200, body: this.#state.show(this.#state.intent(id), valuesOf(call, 'expand').includes('latest_charge')) };
  }

  #kept(call: ApiCall): ApiAnswer | undefined {
    const { method, idempotencyKey: key } = call;
    if (method !== 'POST' || key === undefined) return undefined;
    if (this.#keysInUse.has(key)) return refusal(409, { code: 'idempotency_key_in_use' });
    this.#state.ledger.forgetAnswers(this.#state.rules.now() - this.#options.keysMs);
    const kept = this.#state.ledger.answers.get(key);
    if (kept === undefined) return undefined;
    if (kept.call !== textOf(call)) return refusal(400, { type: 'idempotency_error' });
    return { status: kept.status, body: kept.body, replayed: true, spoilt: undefined };
  }
}

function refusal(status: number, error: object): ApiAnswer {
  return { status, body: JSON.stringify({ error: { type: 'invalid_request_error', ...error } }), replayed: false, spoilt: undefined };
}

/** Two calls with one key have to be the same. */
function textOf({ method, path, params }: ApiCall): string {
  return createHash('sha256').update(`${method} ${path}\n${params.toString()}`).digest('hex');
}
