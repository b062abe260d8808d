/** How an attempt makes an effect once. A worker is given something that does it; outbox/effects.ts is that. */
import type { Transaction } from '../support/transaction.ts';

/** An attempt that makes an effect. */
export interface Attempt {
  readonly id: string;
  readonly task: string;
  /** Why it should stop, if it should. */
  readonly stopReason: Error | undefined;
  abort(reason: Error): void;
}

export interface Maker {
  readonly attempt: Attempt;
  /**
   * When the job was claimed for this attempt: that of a later attempt is higher, on whatever broker. Ids of claims rise on one
   * broker only, and fall when it is restored from a backup.
   */
  readonly fence: number;
  /** For so long at most a transaction may stand still with an effect in it. */
  readonly leaseMs: number;
}

export interface MakesOnce {
  once<Value>(maker: Maker, transaction: Transaction, key: string, effect: () => Value | Promise<Value>): Promise<Value>;
}
