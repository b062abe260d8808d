import { describe, expect, it } from 'vitest';
import { createRateLimit } from './rate-limit.ts';

describe('createRateLimit', () => {
  it('gives turns at the rate, and not faster', async () => {
    const rate = createRateLimit(100);
    const start = performance.now();
    await Promise.all(Array.from({ length: 60 }, () => rate.turn()));
    // 60 turns at 100 a second, of which 200 ms' worth may go at once.
    expect(performance.now() - start).toBeGreaterThan(380);
  });

  it('lets a caller go at once when nobody was before it', async () => {
    let slept = true;
    const turn = createRateLimit(1, () => 0).turn();
    queueMicrotask(() => queueMicrotask(() => {}));
    await Promise.race([turn.then(() => (slept = false)), new Promise((resolve) => setImmediate(resolve))]);
    expect(slept).toBe(false);
  });

  it('stops waiting when the signal aborts', async () => {
    const rate = createRateLimit(1, () => 0);
    await rate.turn();
    const controller = new AbortController();
    const turn = rate.turn(controller.signal);
    controller.abort(new Error('stop'));
    await expect(turn).rejects.toThrow('stop');
    await expect(rate.turn(controller.signal)).rejects.toThrow('stop');
  });
});
