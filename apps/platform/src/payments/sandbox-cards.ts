/**
 * The sandbox's cards: payment methods by whose name one chooses what becomes of a payment, as Stripe's test cards do. Some also spoil
 * the answer on its way, so that a single payment can be lost at will.
 */

/** What a confirmation comes to. */
export type CardOutcome =
  | { readonly kind: 'charged' }
  /** The buyer has to approve it. */
  | { readonly kind: 'action' }
  | { readonly kind: 'processing' }
  /** The bank does not believe that it is the buyer, and asks nobody. */
  | { readonly kind: 'unauthenticated' }
  | { readonly kind: 'declined'; readonly code: string; readonly declineCode: string | undefined };

/** What becomes of the answer to a confirmation: it never comes, comes twice, or the connection is reset instead. */
export type CardAnswer = 'never' | 'twice' | 'reset';

export interface SandboxCard {
  /** @param attempt of this intent, from 1 */
  outcome(attempt: number): CardOutcome;
  readonly answer?: CardAnswer;
  /** Refunds stay pending until they are settled. */
  readonly slowRefunds?: boolean;
}

const charged: CardOutcome = { kind: 'charged' };
const succeeds: SandboxCard = { outcome: () => charged };

/** Declines whose error has a code of its own; all others are `card_declined`. */
const ownCodes = new Set(['authentication_required', 'expired_card', 'incorrect_cvc', 'incorrect_number', 'processing_error']);

const cards = new Map<string, SandboxCard>([
  ['pm_123', succeeds],
  ['pm_card_visa', succeeds],
  ['pm_card_mastercard', succeeds],
  ['pm_card_authenticationRequired', { outcome: () => ({ kind: 'action' }) }],
  ['pm_card_authenticationFails', { outcome: () => ({ kind: 'unauthenticated' }) }],
  ['pm_card_insufficient_funds', { outcome: () => declined('insufficient_funds') }],
  ['pm_card_lost', { outcome: () => declined('lost_card') }],
  ['pm_card_processing', { outcome: () => ({ kind: 'processing' }) }],
  ['pm_card_timeout', { outcome: () => charged, answer: 'never' }],
  ['pm_card_twice', { outcome: () => charged, answer: 'twice' }],
  ['pm_card_reset', { outcome: () => charged, answer: 'reset' }],
  ['pm_card_pendingRefund', { outcome: () => charged, slowRefunds: true }],
]);

/**
 * Finds a card. `pm_card_decline_` followed by a decline code of Stripe's, such as `pm_card_decline_do_not_honor`, is one, too.
 *
 * @param softDeclines how often `pm_card_soft_once` is declined before it succeeds
 */
export function sandboxCard(paymentMethod: string, softDeclines: number): SandboxCard | undefined {
  if (paymentMethod === 'pm_card_soft_once') {
    return { outcome: (attempt) => (attempt <= softDeclines ? declined('insufficient_funds') : charged) };
  }
  const code = /^pm_card_decline_([a-z_]{1,60})$/.exec(paymentMethod)?.[1];
  if (code !== undefined) return { outcome: () => declined(code) };
  return cards.get(paymentMethod);
}

function declined(declineCode: string): CardOutcome {
  return { kind: 'declined', code: ownCodes.has(declineCode) ? declineCode : 'card_declined', declineCode };
}
