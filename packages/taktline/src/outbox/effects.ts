/** Effects that are made once: see `ctx.once()`. */
import { TaktlineError } from '../support/taktline-error.ts';
import { type RunStatement, runIn, type Transaction } from '../support/transaction.ts';
import { toJson } from '../task/codec.ts';
import type { Attempt, Maker, MakesOnce } from '../task/once.ts';
import { outboxError, outboxStatements } from './tables.ts';

const longestKey = 500;
/** As the database refuses it. */
const mayNotCommit = 'TL001';

export class Effects implements MakesOnce {
  readonly #schema: string;
  readonly #statements: ReturnType<typeof outboxStatements>;

  /** @param schema checked */
  constructor(schema: string) {
    this.#schema = schema;
    this.#statements = outboxStatements(schema);
  }

  /** Two statements for a new effect, one for one that was made before. */
  async once<Value>(maker: Maker, transaction: Transaction, key: string, effect: () => Value | Promise<Value>): Promise<Value> {
    const { attempt, fence, leaseMs } = maker;
    if (typeof key !== 'string' || key === '' || key.length > longestKey || key.includes('\0'))
      throw new TaktlineError('INVALID_OPTION', `ctx.once(): the key is a text of 1 to ${longestKey} characters`);
    const run = this.#runIn(transaction);
    await this.#goesOn(attempt, run);
    const [row] = await run<{ state: 'new' | 'there'; outcome: string | null }>(this.#statements.once.text, [
      attempt.task,
      key,
      attempt.id,
      fence,
      leaseMs,
    ]).catch((error: unknown) => {
      if ((error as { readonly code?: unknown }).code !== mayNotCommit) throw error;
      const stale = new TaktlineError('LEASE_LOST', 'a later attempt of the job has made an effect: this one makes none', {
        jobId: attempt.id,
        cause: error,
      });
      attempt.abort(stale);
      throw stale;
    });
    if (row?.state === 'there') return outcomeOf(row.outcome, key) as Value;
    try {
      const value = await effect();
      await this.#goesOn(attempt, run);
      const outcome = value === undefined ? 'null' : toJson(value, `the outcome of effect ${JSON.stringify(key)}`);
      await run(this.#statements.stored.text, [attempt.task, key, outcome]);
      return JSON.parse(outcome) as Value;
    } catch (error) {
      // For those who catch it and commit: what has failed was not made. Where the transaction has failed, so does this.
      await run(this.#statements.unmade.text, [attempt.task, key]).catch(() => undefined);
      throw error;
    }
  }

  /** An attempt that should stop commits nothing any more. @throws the reason for which it should */
  async #goesOn({ stopReason }: Attempt, run: RunStatement): Promise<void> {
    if (stopReason === undefined) return;
    await run(this.#statements.failTransaction.text, []).catch(() => undefined);
    throw stopReason;
  }

  #runIn(transaction: Transaction): RunStatement {
    const run = runIn(transaction);
    return (text, values) =>
      run<never>(text, values).catch((error: unknown) => {
        throw outboxError(error, this.#schema);
      });
  }
}

/** @throws TaktlineError `OUTBOX_TRANSACTION` for one that was begun and has none: nobody knows whether it was made */
function outcomeOf(stored: string | null, key: string): unknown {
  if (stored !== null) return JSON.parse(stored);
  const why = 'is being made in this transaction, or its transaction was ended before it was made';
  throw new TaktlineError('OUTBOX_TRANSACTION', `ctx.once(): effect ${JSON.stringify(key)} ${why}: wait for the promise that once() gives`);
}
