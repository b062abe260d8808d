/** Effects that are made once: see `ctx.once()`. */
import { TaktlineError } from '../support/taktline-error.ts';
import { type RunStatement, runIn, type Transaction } from '../support/transaction.ts';
import { toJson } from '../task/codec.ts';
import type { Attempt, Maker, MakesOnce } from '../task/once.ts';
import { outboxError, outboxStatements } from './tables.ts';

const longestKey = 500;

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
    goesOn(attempt);
    const run = this.#runIn(transaction);
    const [row] = await run<{ state: 'new' | 'there' | 'stale'; outcome: string | null }>(this.#statements.once.text, [
      attempt.task,
      key,
      attempt.id,
      fence,
      leaseMs,
    ]);
    if (row?.state === 'stale') {
      const stale = new TaktlineError('LEASE_LOST', 'a later attempt of the job has made an effect: this one makes none', {
        jobId: attempt.id,
      });
      attempt.abort(stale);
      throw stale;
    }
    if (row?.state === 'there') return JSON.parse(row.outcome ?? 'null') as Value;
    try {
      const value = await effect();
      goesOn(attempt);
      const outcome = value === undefined ? 'null' : toJson(value, `the outcome of effect ${JSON.stringify(key)}`);
      await run(this.#statements.stored.text, [attempt.task, key, outcome]);
      return JSON.parse(outcome) as Value;
    } catch (error) {
      // For those who catch it and commit: what has failed was not made. Where the transaction has failed, so does this.
      await run(this.#statements.unmade.text, [attempt.task, key]).catch(() => undefined);
      throw error;
    }
  }

  #runIn(transaction: Transaction): RunStatement {
    const run = runIn(transaction);
    return (text, values) =>
      run<never>(text, values).catch((error: unknown) => {
        throw outboxError(error, this.#schema);
      });
  }
}

/** @throws the reason for which the attempt should stop */
function goesOn({ stopReason }: Attempt): void {
  if (stopReason !== undefined) throw stopReason;
}
