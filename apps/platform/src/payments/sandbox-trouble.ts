/**
 * What can go wrong between a payment provider and its caller, for any call: the answer is late, comes twice, never, or is not the
 * right one, before or after the call took effect. Drawn from a seed, so that a bad run can be run again.
 */

export const troubleKinds = ['late', 'twice', 'never', 'reset', 'broken', 'failed', 'another'] as const;

/**
 * `late`: answered after `ms`. `twice`: the answer is written twice. `never`: the connection stays open until the caller gives up.
 * `reset`: it is reset. `broken`: half of the JSON. `failed`: status 500, which is kept under the idempotency key. `another`: an
 * answer about another intent.
 */
export type TroubleKind = (typeof troubleKinds)[number];

export interface Trouble {
  readonly kind: TroubleKind;
  /** Whether the call takes effect first. If not, a late one does when its time is over, one answered twice does anyway, others never. */
  readonly done: boolean;
  /** How late, in milliseconds. Default 100. */
  readonly ms?: number;
}

export interface TroubledCall {
  readonly method: string;
  /** Such as `/v1/payment_intents/pi_1/confirm`. */
  readonly path: string;
}

/** Asked for each call; undefined lets it pass. */
export type TroubleSource = (call: TroubledCall) => Trouble | undefined;

export interface TroubleRates {
  /** Which part of the calls, from 0 to 1. */
  readonly rate: number;
  /** Default all, equally often. */
  readonly kinds?: readonly TroubleKind[];
  /** Late answers are up to this late. Default 100. */
  readonly lateMs?: number;
}

/** @param random from 0 to below 1 */
export function troubleSource({ rate, kinds = troubleKinds, lateMs = 100 }: TroubleRates, random: () => number): TroubleSource {
  return () => {
    if (random() >= rate) return undefined;
    const kind = kinds[Math.floor(random() * kinds.length)];
    return kind === undefined ? undefined : { kind, done: random() < 0.5, ms: Math.ceil(random() * lateMs) };
  };
}
