/** How large an input and a result may be, and that what is refused or failed is said in one line. */
import { expect, it } from 'vitest';
import { z } from 'zod';
import { onEachBroker } from '../support/harness.ts';

onEachBroker('payloads', (h) => {
  it('an input of about a mebibyte passes, a larger one never leaves the process', async () => {
    const app = h.app();
    const size = app.task({ name: 'size', queue: 'work', input: z.string(), run: (text) => text.length });
    await h.work(app);
    const largest = 1_048_576 - '{"v":1,"task":"size","input":""}'.length;
    expect(await (await size.delay('x'.repeat(largest))).result()).toBe(largest);
    await expect(size.delay('x'.repeat(largest + 1))).rejects.toMatchObject({
      code: 'PAYLOAD_TOO_LARGE',
      message: expect.stringMatching(/^the input of task "size" has 1048577 bytes; at most 1048576 [^\n]*$/) as string,
    });
    // In bytes, not in characters.
    await expect(size.delay('ü'.repeat(largest - 100))).rejects.toMatchObject({ code: 'PAYLOAD_TOO_LARGE' });
    await expect(size.enqueueMany(['fine', 'x'.repeat(largest + 1)])).rejects.toMatchObject({
      code: 'PAYLOAD_TOO_LARGE',
      message: expect.stringContaining('input 1 of 2') as string,
    });
  });

  it('a result that is larger makes a dead letter at once, and the next job runs', async () => {
    const app = h.app({ payloadLimit: 2_000 });
    let runs = 0;
    const give = app.task({
      name: 'give',
      queue: 'work',
      input: z.number(),
      run: (length) => {
        runs += 1;
        return 'x'.repeat(length);
      },
    });
    await h.work(app);
    expect(await (await give.delay(1_998)).result()).toHaveLength(1_998);
    await expect((await give.delay(1_999)).result()).rejects.toMatchObject({ code: 'JOB_FAILED', cause: { code: 'PAYLOAD_TOO_LARGE' } });
    expect(await (await give.delay(1)).result()).toBe('x');
    expect(runs).toBe(3);
    expect((await app.inspector.deadLetters.list()).items).toMatchObject([{ code: 'PAYLOAD_TOO_LARGE', task: 'give' }]);
  });

  it('what JSON does not hold is refused where it is', async () => {
    const app = h.app();
    const any = app.task({
      name: 'any',
      queue: 'work',
      input: z.unknown(),
      retry: { maxAttempts: 5 },
      run: (value) => (value === 'BigInt' ? 1n : value),
    });
    await h.work(app);
    await expect(any.delay(1n)).rejects.toMatchObject({ code: 'INVALID_INPUT' });
    await expect((await any.delay('BigInt')).result()).rejects.toMatchObject({ code: 'JOB_FAILED', cause: { code: 'INVALID_INPUT' } });
  });

  it('a depth that would fell a parser costs the sender, not the worker', async () => {
    const app = h.app();
    const any = app.task({ name: 'any', queue: 'work', input: z.unknown(), run: () => 'ran' });
    await h.work(app);
    let deep: unknown = 0;
    for (let depth = 0; depth < 200_000; depth++) deep = [deep];
    await expect(any.delay(deep)).rejects.toMatchObject({ code: 'INVALID_INPUT' });
    expect(await (await any.delay('shallow')).result()).toBe('ran');
  });

  it('__proto__ in an input is data, here and on the worker', async () => {
    const app = h.app();
    const keys = app.task({
      name: 'keys',
      queue: 'work',
      input: z.custom<Record<string, unknown>>(),
      run: (input) => [Object.keys(input), (input as { admin?: boolean }).admin ?? null, ({} as { admin?: boolean }).admin ?? null],
    });
    await h.work(app);
    const hostile = JSON.parse('{"__proto__":{"admin":true},"constructor":{"prototype":{"admin":true}}}') as Record<string, unknown>;
    expect(await (await keys.delay(hostile)).result()).toEqual([['__proto__', 'constructor'], null, null]);
  });
});
