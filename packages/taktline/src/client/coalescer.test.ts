/** Calls of one turn travel together; what comes while batches are under way gathers in the next. */
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Coalescer } from './coalescer.ts';

interface UnderWay {
  readonly items: readonly number[];
  answer(): void;
  fail(error: Error): void;
}

function make(limits: { readonly mostItems?: number; readonly mostBytes?: number } = {}) {
  const batches: UnderWay[] = [];
  const coalescer = new Coalescer<number, string>({
    send: (items) =>
      new Promise((resolve, reject) => {
        batches.push({ items: [...items], answer: () => resolve(items.map((item) => `reply ${item}`)), fail: reject });
      }),
    mostItems: limits.mostItems ?? 1_000,
    mostBytes: limits.mostBytes ?? 1e9,
  });
  return { coalescer, batches, add: (item: number, bytes = 1) => coalescer.add(item, bytes) };
}

it('calls of one turn travel together, and each gets its own reply', async () => {
  const { add, batches } = make();
  const replies = [add(1), add(2), Promise.resolve().then(() => add(3))];
  expect(batches).toHaveLength(0);
  await turn();
  expect(batches.map(({ items }) => items)).toEqual([[1, 2, 3]]);
  batches[0]?.answer();
  expect(await Promise.all(replies)).toEqual(['reply 1', 'reply 2', 'reply 3']);
});

it('two batches are under way at most; what comes meanwhile shares the next', async () => {
  const { add, batches } = make();
  const replies: Promise<string>[] = [];
  for (const item of [1, 2, 3, 4, 5]) {
    replies.push(add(item));
    await turn();
  }
  expect(batches.map(({ items }) => items)).toEqual([[1], [2]]);
  batches[1]?.answer();
  await replies[1];
  await turn();
  expect(batches.map(({ items }) => items)).toEqual([[1], [2], [3, 4, 5]]);
  for (const batch of batches) batch.answer();
  expect(await Promise.all(replies)).toEqual([1, 2, 3, 4, 5].map((item) => `reply ${item}`));
});

it('many calls of one turn leave as two batches, one after the other, so that both sides have work', async () => {
  const { add, batches } = make();
  const replies = Array.from({ length: 100 }, (_, item) => add(item));
  await turn();
  expect(batches.map(({ items }) => items.length)).toEqual([50]);
  await expect.poll(() => batches.map(({ items }) => items.length)).toEqual([50, 50]);
  for (const batch of batches) batch.answer();
  expect(await Promise.all(replies)).toEqual(Array.from({ length: 100 }, (_, item) => `reply ${item}`));
});

it('callers who each wait for their own call keep two batches under way', async () => {
  const { add, batches } = make();
  const callers = Array.from({ length: 100 }, async (_, caller) => {
    for (let call = 0; call < 5; call++) expect(await add(100 * call + caller)).toBe(`reply ${100 * call + caller}`);
  });
  for (let batch = 0; batch < 10; batch++) {
    // The other one is under way when the first of the two is answered.
    await expect.poll(() => batches.length).toBe(Math.min(10, batch + 2));
    batches[batch]?.answer();
  }
  await Promise.all(callers);
  expect(batches.map(({ items }) => items.length)).toEqual(Array.from({ length: 10 }, () => 50));
});

it('tells when all calls are answered', async () => {
  const { coalescer, add, batches } = make();
  await coalescer.idle();
  const calls = Promise.allSettled([add(1), add(2)]);
  const idle = coalescer.idle().then(() => 'idle');
  await turn();
  expect(await Promise.race([idle, turn('waiting')])).toBe('waiting');
  batches[0]?.fail(new Error('away'));
  expect(await idle).toBe('idle');
  expect((await calls).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
});

it('a call whose reply is an error fails with it, alone', async () => {
  const coalescer = new Coalescer<number, string>({
    send: async (items) => items.map((item) => (item === 2 ? new Error('not this one') : `reply ${item}`)),
    mostItems: 10,
    mostBytes: 10,
  });
  const calls = await Promise.allSettled([1, 2, 3].map((item) => coalescer.add(item, 1)));
  expect(calls.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
});

describe('a batch is bounded', () => {
  it('by its items', async () => {
    const { add, batches } = make({ mostItems: 2 });
    const replies = [1, 2, 3, 4, 5].map((item) => add(item));
    await expect
      .poll(() => batches.map(({ items }) => items))
      .toEqual([
        [1, 2],
        [3, 4],
      ]);
    batches[0]?.answer();
    await expect.poll(() => batches[2]?.items).toEqual([5]);
    for (const batch of batches) batch.answer();
    await Promise.all(replies);
  });

  it('by its bytes, and one item that is larger goes alone', async () => {
    const { add, batches } = make({ mostBytes: 10 });
    const replies = [add(1, 6), add(2, 4), add(3, 1), add(4, 99)];
    await expect.poll(() => batches.map(({ items }) => items)).toEqual([[1, 2], [3]]);
    batches[0]?.answer();
    await expect.poll(() => batches[2]?.items).toEqual([4]);
    for (const batch of batches) batch.answer();
    await Promise.all(replies);
  });
});

it('a batch that fails fails its own calls, and the next one is sent', async () => {
  const { add, batches } = make();
  const first = add(1);
  await turn();
  batches[0]?.fail(new Error('the broker is away'));
  await expect(first).rejects.toThrow('the broker is away');
  const second = add(2);
  await turn();
  batches[1]?.answer();
  expect(await second).toBe('reply 2');
});

it('however calls come and batches end, each call gets its own reply, in batches within the limits', async () => {
  const step = fc.record({ kind: fc.constantFrom('add', 'add', 'add', 'turn', 'answer'), bytes: fc.integer({ min: 1, max: 12 }) });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const { add, batches } = make({ mostItems: 3, mostBytes: 10 });
      const sizes: number[] = [];
      const replies: Promise<string>[] = [];
      let answered = 0;
      for (const { kind, bytes } of steps) {
        if (kind === 'add') {
          replies.push(add(sizes.length, bytes));
          sizes.push(bytes);
        } else if (kind === 'answer' && answered < batches.length) batches[answered++]?.answer();
        else await turn();
        expect(batches.length - answered).toBeLessThanOrEqual(2);
      }
      const all = Promise.all(replies);
      for (let over = false; !over; ) {
        while (answered < batches.length) batches[answered++]?.answer();
        over = await Promise.race([all.then(() => true), turn(false)]);
      }
      expect(await all).toEqual(sizes.map((_, item) => `reply ${item}`));
      expect(batches.flatMap(({ items }) => items)).toEqual(sizes.map((_, item) => item));
      for (const { items } of batches) {
        expect(items.length).toBeLessThanOrEqual(3);
        if (items.length > 1) expect(items.reduce((sum, item) => sum + (sizes[item] as number), 0)).toBeLessThanOrEqual(10);
      }
    }),
    { numRuns: 60 },
  );
});
