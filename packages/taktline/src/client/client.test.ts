/** Calls turned into jobs: what is checked before anything is sent, what is sent, and what a failure says. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type TestNamespace, testNamespace } from '../../test/support/namespace.ts';
import { watched } from '../../test/support/watched.ts';
import type { NewJob } from '../broker/broker.ts';
import { type OpenedBroker, openBroker } from '../broker/open-broker.ts';
import type { Duration } from '../support/durations.ts';
import { TaktlineError } from '../support/taktline-error.ts';
import { decodeEnvelope } from '../task/codec.ts';
import { defineTask } from '../task/task.ts';
import { Client, type EnqueueOneOptions } from './client.ts';

let space: TestNamespace;
let opened: OpenedBroker;
let sent: NewJob[][];
/** What happens to a batch on its way, by its number. */
let fault: ((batch: number) => 'lost' | 'reply lost' | undefined) | undefined;
let client: Client;

beforeAll(async () => {
  space = await testNamespace();
  opened = await openBroker({
    url: space.url,
    namespace: space.name,
    queues: ['work', 'other'].map((name) => ({ name, priority: 5 })),
    deadLetterTtlMs: 1e9,
  });
});
afterAll(async () => {
  await opened.close();
  await space.drop();
});
beforeEach(() => {
  sent = [];
  fault = undefined;
  const enqueue = async (jobs: readonly NewJob[]) => {
    const batch = sent.push([...jobs]);
    const what = fault?.(batch);
    if (what === 'lost') throw new TaktlineError('BROKER_UNAVAILABLE', 'away');
    const replies = await opened.broker.enqueue(jobs);
    if (what === 'reply lost') throw new TaktlineError('BROKER_UNAVAILABLE', 'away');
    return replies;
  };
  client = new Client({
    broker: async () => watched(opened.broker, { enqueue }),
    queues: new Map(['work', 'other'].map((name) => [name, { name, priority: 5 }])),
    payloadLimit: 2_000,
    enqueueIn: () => Promise.reject(new Error('no transaction is enqueued in here')),
  });
});

const task = defineTask({
  name: 'send',
  queue: 'work',
  priority: 7,
  inputVersion: 3,
  input: z.object({ to: z.string() }),
  run: () => null,
});
const plain = defineTask({ name: 'plain', queue: 'work', run: () => null });
const input = { to: 'ann' };
const enqueue = async (options: EnqueueOneOptions) => {
  const handle = await client.enqueue(task, input, options);
  return { handle, job: sent.at(-1)?.find(({ id }) => id === handle.id) as NewJob };
};

describe('what is sent', () => {
  it('is the task, its defaults, and the input as JSON, under an id of ours', async () => {
    const { handle, job } = await enqueue({});
    expect(handle.id).toMatch(/^[0-9a-f-]{36}$/);
    expect(job).toEqual({ id: handle.id, queue: 'work', priority: 7, envelope: job.envelope });
    expect(decodeEnvelope(job.envelope)).toMatchObject({ task: 'send', inputVersion: 3, input, headers: {} });
  });

  it('is what the options say', async () => {
    const eta = new Date(Date.now() + 60_000);
    const expires = new Date(Date.now() + 120_000);
    expect((await enqueue({ queue: 'other', priority: 1, eta, expires, headers: { tenant: 't1' } })).job).toMatchObject({
      queue: 'other',
      priority: 1,
      eta: eta.getTime(),
      expiresAt: expires.getTime(),
    });
    expect(decodeEnvelope(sent.at(-1)?.[0]?.envelope as string).headers).toEqual({ tenant: 't1' });
    expect((await enqueue({ eta: eta.getTime() })).job.eta).toBe(eta.getTime());
    expect((await enqueue({ countdown: '5m', expires: '1h' })).job).toMatchObject({ countdownMs: 300_000, expiresInMs: 3_600_000 });
    expect((await enqueue({ id: 'mine-1', dedupeFor: '1h' })).job).toMatchObject({ id: 'mine-1', unique: { forMs: 3_600_000 } });
    expect((await enqueue({ id: 'mine-2' })).job.unique?.forMs).toBe(604_800_000);
  });

  it('is the input as it was given, not as the schema makes it: the worker checks it again', async () => {
    const coerce = defineTask({
      name: 'coerce',
      queue: 'work',
      input: z.object({ n: z.coerce.number(), tag: z.string().default('x') }),
      run: () => null,
    });
    await client.enqueue(coerce, { n: '5' });
    expect(decodeEnvelope(sent.at(-1)?.[0]?.envelope as string).input).toEqual({ n: '5' });
  });

  it('calls of one turn go in one batch', async () => {
    await Promise.all(Array.from({ length: 20 }, () => client.enqueue(task, input)));
    expect(sent.map((batch) => batch.length)).toEqual([20]);
  });

  it('many go a thousand at a time, and fewer when they are large', async () => {
    await client.enqueueMany(
      task,
      Array.from({ length: 2_500 }, () => input),
    );
    expect(sent.map((batch) => batch.length)).toEqual([1_000, 1_000, 500]);
    sent = [];
    const seen: number[] = [];
    const enqueueSeen = (jobs: readonly NewJob[]) => {
      seen.push(jobs.length);
      return opened.broker.enqueue(jobs);
    };
    const large = new Client({
      broker: async () => watched(opened.broker, { enqueue: enqueueSeen }),
      queues: new Map([['work', { name: 'work', priority: 5 }]]),
      payloadLimit: 2e6,
      enqueueIn: () => Promise.reject(new Error('no transaction is open')),
    });
    await large.enqueueMany(
      task,
      Array.from({ length: 10 }, () => ({ to: 'x'.repeat(1_500_000) })),
    );
    expect(seen).toEqual([3, 3, 3, 1]);
  });
});

describe('is refused before anything is sent', () => {
  it.each<[string, EnqueueOneOptions, string]>([
    ['an undeclared queue', { queue: 'nowhere' }, 'UNKNOWN_QUEUE'],
    ['both countdown and eta', { countdown: 1, eta: new Date() }, 'INVALID_OPTION'],
    ['an eta that is no time', { eta: new Date(Number.NaN) }, 'INVALID_OPTION'],
    ['an eta before time began', { eta: -1 }, 'INVALID_OPTION'],
    ['expires that is no time', { expires: new Date(Number.NaN) }, 'INVALID_OPTION'],
    ['a countdown without a unit', { countdown: '5' as Duration }, 'INVALID_OPTION'],
    ['a priority of 11', { priority: 11 }, 'INVALID_OPTION'],
    ['an id with a space', { id: 'a b' }, 'INVALID_OPTION'],
    ['an id with the separator', { id: 'a\u001eb' }, 'INVALID_OPTION'],
    ['an empty id', { id: '' }, 'INVALID_OPTION'],
    ['a header name with a line end', { headers: { 'a\r\nb': 'x' } }, 'INVALID_OPTION'],
    ['a dedupeFor that is negative', { id: 'x', dedupeFor: -1 }, 'INVALID_OPTION'],
  ])('%s', async (_, options, code) => {
    await expect(enqueue(options)).rejects.toMatchObject({ code });
    expect(sent).toEqual([]);
  });

  it('an input that does not fit, with its fields named', async () => {
    await expect(client.enqueue(task, { to: 5 })).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      message: expect.stringContaining('to: ') as string,
    });
    await expect(client.enqueue(plain, { any: 1 })).rejects.toMatchObject({ code: 'INVALID_INPUT' });
    await expect(client.enqueue(task, { to: 'a', n: 1n })).rejects.toMatchObject({ code: 'INVALID_INPUT' });
    expect(sent).toEqual([]);
  });

  it('an input that JSON turns into another one: what is checked is what will run', async () => {
    const dated = defineTask({ name: 'dated', queue: 'work', input: z.object({ on: z.date() }), run: () => null });
    await expect(client.enqueue(dated, { on: new Date() })).rejects.toMatchObject({ code: 'INVALID_INPUT' });
    const coerced = defineTask({ name: 'coerced', queue: 'work', input: z.object({ on: z.coerce.date() }), run: () => null });
    await expect(client.enqueue(coerced, { on: new Date() })).resolves.toBeDefined();
  });

  it('an input of more bytes than the limit, and not one less', async () => {
    const head = '{"v":1,"task":"send","iv":3,"input":{"to":""}}'.length;
    await expect(client.enqueue(task, { to: 'x'.repeat(2_000 - head) })).resolves.toBeDefined();
    sent = [];
    await expect(client.enqueue(task, { to: 'x'.repeat(2_001 - head) })).rejects.toMatchObject({
      code: 'PAYLOAD_TOO_LARGE',
      message: expect.stringContaining('2000') as string,
    });
    await expect(client.enqueue(task, { to: 'ü'.repeat(1_000) })).rejects.toMatchObject({ code: 'PAYLOAD_TOO_LARGE' });
    expect(sent).toEqual([]);
  });

  it('one bad input among many: none is enqueued, and it is named by its place', async () => {
    const inputs = [...Array.from({ length: 1_500 }, () => input), { to: 5 as unknown as string }, input];
    await expect(client.enqueueMany(task, inputs)).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      message: expect.stringContaining('input 1500 of 1502') as string,
    });
    expect(sent).toEqual([]);
  });
});

it('waits for a schema that is asynchronous', async () => {
  const slow = defineTask({
    name: 'slow',
    queue: 'work',
    input: z.object({ to: z.string().refine(async (to) => to !== 'bob') }),
    run: () => null,
  });
  await expect(client.enqueue(slow, { to: 'bob' })).rejects.toMatchObject({ code: 'INVALID_INPUT' });
  await expect(client.enqueueMany(slow, [{ to: 'ann' }, { to: 'bob' }])).rejects.toMatchObject({
    message: expect.stringContaining('input 1 of 2') as string,
  });
  expect(await client.enqueueMany(slow, [{ to: 'ann' }])).toHaveLength(1);
});

describe('an id of the caller', () => {
  it('makes one job, and gives its handle each time', async () => {
    const handles = await Promise.all([1, 2, 3].map(() => client.enqueue(task, input, { id: 'once' })));
    handles.push(await client.enqueue(task, input, { id: 'once', queue: 'other', countdown: '1h' }));
    expect(new Set(handles.map(({ id }) => id))).toEqual(new Set(['once']));
    expect(
      await space.query('select id from $ns.ready where id = $1 union all select id from $ns.scheduled where id = $1', ['once']),
    ).toHaveLength(1);
  });

  it('with another input or task is a conflict', async () => {
    await client.enqueue(task, input, { id: 'taken' });
    await expect(client.enqueue(task, { to: 'bob' }, { id: 'taken' })).rejects.toMatchObject({ code: 'ID_CONFLICT', jobId: 'taken' });
    await expect(client.enqueue(plain, undefined, { id: 'taken' })).rejects.toMatchObject({ code: 'ID_CONFLICT' });
  });

  it('of many: those that conflict are named, the others are made', async () => {
    await client.enqueue(task, { to: 'somebody else' }, { id: 'many-1' });
    await expect(
      client.enqueueMany(task, [{ to: '0' }, { to: '1' }, { to: '2' }], { id: (one) => `many-${one.to}` }),
    ).rejects.toMatchObject({
      code: 'ID_CONFLICT',
      message: expect.stringContaining('"many-1"') as string,
    });
    expect(await Promise.all(['many-0', 'many-2'].map((id) => client.handle(id).status()))).toEqual(['queued', 'queued']);
  });
});

describe('a broker that does not answer', () => {
  it.each(['lost', 'reply lost'] as const)('%s: the error names the id, and sent again with it the job is made once', async (what) => {
    fault = () => what;
    const error = await client.enqueue(task, input).then(
      () => undefined,
      (thrown: unknown) => thrown as TaktlineError,
    );
    expect(error).toMatchObject({ code: 'BROKER_UNAVAILABLE', jobId: expect.stringMatching(/^[0-9a-f-]{36}$/) as string });
    fault = undefined;
    const id = error?.jobId as string;
    expect((await client.enqueue(task, input, { id })).id).toBe(id);
    expect((await client.enqueue(task, input, { id })).id).toBe(id);
    expect(await space.query('select id from $ns.ready where id = $1', [id])).toHaveLength(1);
  });

  it('in the middle of many: the error says how many are known to be there', async () => {
    fault = (batch) => (batch === 3 ? 'lost' : undefined);
    await expect(
      client.enqueueMany(
        task,
        Array.from({ length: 5_000 }, () => input),
      ),
    ).rejects.toMatchObject({
      code: 'BROKER_UNAVAILABLE',
      message: expect.stringMatching(/[23]000 of 5000 jobs are known to be enqueued/) as string,
    });
  });
});

it('close() waits for what is on its way, though nobody has awaited it', async () => {
  const slow = defineTask({ name: 'slow', queue: 'work', input: z.object({ to: z.string().refine(async () => true) }), run: () => null });
  const one = client.enqueue(task, input);
  const late = client.enqueue(slow, input);
  const many = client.enqueueMany(
    task,
    Array.from({ length: 3_500 }, () => input),
  );
  const bad = client.enqueue(task, { to: 5 }).catch(() => 'refused');
  await client.close();
  expect(sent.flat()).toHaveLength(3_502);
  const handles = [await one, await late, ...(await many)];
  expect(handles).toHaveLength(3_502);
  expect(await bad).toBe('refused');
  await expect(handles[0]?.result()).rejects.toMatchObject({ code: 'BROKER_CLOSED' });
});

it('refuses handles and cancellations of ids that cannot be', async () => {
  expect(() => client.handle('a b')).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  await expect(client.cancel(['fine', ''])).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  expect(await client.cancel(['nobody'])).toEqual(['unknown']);
});
