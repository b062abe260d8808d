/** Steps that a person starts: bounded, counted, and ended though the work flows back. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../../test/support/eventually.ts';
import { type TestNamespace, testNamespace } from '../../test/support/namespace.ts';
import { watched } from '../../test/support/watched.ts';
import type { Inspector } from '../broker/inspector.ts';
import { type OpenedBroker, openBroker } from '../broker/open-broker.ts';
import { TaskRegistry } from '../task/registry.ts';
import { Catalogue } from './catalogue.ts';
import { Inspection } from './inspection.ts';

let space: TestNamespace;
let opened: OpenedBroker;

beforeEach(async () => {
  space = await testNamespace();
  opened = await openBroker({ url: space.url, namespace: space.name, queues: [{ name: 'work', priority: 5 }], deadLetterTtlMs: 1e9 });
});
afterEach(async () => {
  await opened.close();
  await space.drop();
});

const inspecting = (verbs: Partial<Inspector> = {}) => {
  const inspector = async () => watched(opened.inspector, verbs);
  return new Inspection(inspector, new Catalogue(inspector, new TaskRegistry()));
};

/** Dead letters that died a minute ago, one a millisecond. */
async function dead(count: number): Promise<void> {
  await space.query(
    `insert into $ns.dead (id, queue, priority, task, code, message, enqueued_at, died_at, envelope, past)
     select 'd' || n, q.id, 5, 'x', 'E', 'm', 1, $ns.now_ms() - 60000 + n, '{"v":1,"task":"x","input":null}', '{"failures":5,"history":[]}'
     from generate_series(1, $1) n, $ns.queues q`,
    [count],
  );
}

/** What waits dies at once, as with a worker whose tasks all fail. */
async function allDie(): Promise<void> {
  await space.query(
    `with gone as (delete from $ns.ready returning *)
     insert into $ns.dead (id, queue, priority, task, code, message, enqueued_at, died_at, envelope, past)
     select id, queue, 5, 'x', 'E', 'm', enqueued_at, $ns.now_ms(), envelopes, past from gone`,
  );
}

describe('redrive', () => {
  it('takes each dead letter once, though they die again while it goes on', async () => {
    await dead(2_500);
    const steps: number[] = [];
    const inspection = inspecting({
      redrive: async (filter, limit) => {
        const ids = await opened.inspector.redrive(filter, limit);
        await allDie();
        steps.push(ids.length);
        if (steps.length > 10) throw new Error('it takes them again and again');
        return ids;
      },
    });
    const progress: number[] = [];
    expect(await inspection.deadLetters.redrive({}, { onProgress: (done) => progress.push(done) })).toBe(2_500);
    expect(steps).toEqual([1_000, 1_000, 500]);
    expect(progress).toEqual([1_000, 2_000, 2_500]);
    const rows = await space.query<{ redrives: string; n: string }>(
      `select past::json ->> 'redrives' as redrives, count(*) as n from $ns.dead group by 1`,
    );
    expect(rows).toEqual([{ redrives: '1', n: '2500' }]);
  });

  it('of nothing is nothing, and leaves what dies meanwhile', async () => {
    expect(await inspecting().deadLetters.redrive({ task: 'other' })).toBe(0);
  });

  it('keeps to diedBefore when it is given', async () => {
    await dead(10);
    const letters = inspecting().deadLetters;
    const [newest] = (await letters.list()).items;
    expect(await letters.redrive({ diedBefore: new Date(newest?.diedAt as string) })).toBe(9);
    await eventually(async () => (await letters.list()).items.length === 1, 'one is left');
  });
});

it('refuses a limit that is no page', async () => {
  const inspection = inspecting();
  for (const limit of [0, -1, 1_001, 1.5, Number.NaN, 1e9]) {
    await expect(inspection.jobs('queued', { limit })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    await expect(inspection.deadLetters.list({ limit })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  }
});

it('shows nothing of an input whose task it does not know, and nothing at all of one that cannot be read', async () => {
  await opened.broker.enqueue([
    { id: 'known', queue: 'work', priority: 5, envelope: '{"v":1,"task":"x","input":{"password":"hunter2"},"headers":{"a":"b"}}' },
    { id: 'torn', queue: 'work', priority: 5, envelope: '{"v":1,"task":"x","input":{"password":"hunter2"' },
  ]);
  const inspection = inspecting();
  expect(await inspection.job('known')).toMatchObject({ state: 'queued', task: 'x', input: '[masked]', headers: { a: 'b' } });
  expect(await inspection.job('torn')).toMatchObject({ state: 'queued', task: undefined, input: undefined });
  expect(JSON.stringify(await inspection.jobs('queued'))).not.toContain('hunter2');
  expect(await inspection.job('nobody')).toBeUndefined();
});
