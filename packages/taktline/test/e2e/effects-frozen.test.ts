/**
 * A worker that is frozen beyond its lease with ten jobs around their effect, and wakes up when they have run elsewhere: each effect
 * is made once, and what the frozen one does then is refused.
 */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { AppDatabase } from '../support/app-database.ts';
import type { Child } from '../support/child.ts';
import { onEachBroker } from '../support/harness.ts';
import { polled } from '../support/polled.ts';

const { define } = (await import(new URL('../fixtures/effects-app.mjs', import.meta.url).href)) as {
  define(app: unknown, options: { readonly databaseUrl: string; readonly schema: string }): Pay;
};

/** As the fixture makes it; it has no types. */
interface Pay {
  readonly pay: { enqueueMany(inputs: readonly object[]): Promise<{ result(options: object): Promise<Paid> }[]> };
  end(): Promise<void>;
}
interface Paid {
  readonly pid: number;
  readonly attempt: number;
  readonly gotBy: number;
}
interface Came {
  readonly order: number;
  readonly code?: string;
  readonly message?: string;
  readonly result?: Paid;
}

const orders = Array.from({ length: 10 }, (_, order) => order);

onEachBroker('a worker that is frozen', (h) => {
  let database: AppDatabase;
  beforeEach(async () => {
    database = await AppDatabase.make('beside');
    await database.query('create table $outbox.lines (order_id integer not null, attempt integer not null)');
  });
  afterEach(async () => {
    await h.end();
    await database.drop();
  });

  /** Ten jobs are held in a child, which is frozen; they run in this process; then the child goes on. */
  async function freeze(haltAt: 'before' | 'inside' | 'after') {
    const { url: databaseUrl, schema } = database;
    const child = h.child('effects-worker.mjs', { databaseUrl, schema, lease: '1500ms', haltAt });
    await child.said('started');
    const app = h.app({ outbox: database.settings });
    const { pay, end } = define(app, { databaseUrl, schema });
    try {
      const handles = await pay.enqueueMany(orders.map((order) => ({ order })));
      await polled(() => all(child, 'held').length).toBe(10);
      child.kill('SIGSTOP');
      await h.work(app, { lease: '30s' });
      const results = await Promise.all(handles.map((handle) => handle.result({ timeout: '30s' })));
      // First the word and then the thaw: it does not find out before that its lease is over.
      child.process.send('go on');
      child.kill('SIGCONT');
      await polled(() => all(child, 'came').length).toBe(10);
      await polled(() => child.errors).toContain('taken for dead');
      const lines = await database.query<{ order: number; attempt: number }>(
        'select order_id as order, attempt from $outbox.lines order by 1',
      );
      return { child, results, lines, came: all(child, 'came') as unknown as readonly Came[] };
    } finally {
      await end();
    }
  }

  const bySecond = orders.map((order) => ({ order, attempt: 2 }));

  it('before its effects: the later attempts have made them, and it is refused', async () => {
    const { child, results, lines, came } = await freeze('before');
    expect(results).toEqual(orders.map(() => ({ pid: process.pid, attempt: 2, gotBy: 2 })));
    expect(lines).toEqual(bySecond);
    expect(
      came.map(({ code }) => code),
      child.errors,
    ).toEqual(orders.map(() => 'LEASE_LOST'));
  });

  it('in its transactions after the effects: they are ended, so that the later attempts make them', async () => {
    const { child, results, lines, came } = await freeze('inside');
    expect(results).toEqual(orders.map(() => ({ pid: process.pid, attempt: 2, gotBy: 2 })));
    expect(lines).toEqual(bySecond);
    for (const { result, code, message } of came) {
      expect(result).toBeUndefined();
      expect(`${code} ${message}`, child.errors).toMatch(/LEASE_LOST|idle-in-transaction|connection|terminated|not queryable/i);
    }
  });

  it('between their commit and the settling: the later attempts get what they came to', async () => {
    const { child, results, lines, came } = await freeze('after');
    expect(results).toEqual(orders.map(() => ({ pid: child.process.pid, attempt: 1, gotBy: 2 })));
    expect(lines).toEqual(orders.map((order) => ({ order, attempt: 1 })));
    expect(came.map(({ result }) => result?.gotBy)).toEqual(orders.map(() => 1));
    // Its own settlements came to nothing.
    const ended = (await h.store.ended()).map(({ state, result }) => [state, (JSON.parse(result) as Paid).gotBy]);
    expect(ended).toEqual(orders.map(() => ['s', 2]));
  });
});

function all(child: Child, kind: string): readonly Record<string, unknown>[] {
  return (child.messages as Record<string, unknown>[]).filter((message) => message['kind'] === kind);
}
