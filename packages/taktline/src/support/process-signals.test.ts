/** SIGTERM and SIGINT: gently first, at once the second time, nothing more the third time. */
import { afterEach, expect, it } from 'vitest';
import { onStopSignals } from './process-signals.ts';

let remove: (() => void) | undefined;
afterEach(() => remove?.());

function handlers() {
  const said: string[] = [];
  let endGently: (error?: Error) => void = () => undefined;
  let codes: number[] = [];
  let told: () => void = () => undefined;
  const done = new Promise<void>((resolve) => {
    told = resolve;
  });
  remove = onStopSignals({
    gently: () => {
      said.push('gently');
      return new Promise((resolve, reject) => {
        endGently = (error) => (error === undefined ? resolve() : reject(error));
      });
    },
    atOnce: async () => {
      said.push('at once');
    },
    done: (code) => {
      codes = [...codes, code];
      told();
    },
  });
  return { said, done, codes: () => codes, endGently: (error?: Error) => endGently(error) };
}

it('the first signal drains, and the end of it is exit code 0', async () => {
  const { said, done, codes, endGently } = handlers();
  process.emit('SIGTERM');
  expect(said).toEqual(['gently']);
  expect(codes()).toEqual([]);
  endGently();
  await done;
  expect(codes()).toEqual([0]);
});

it('the second signal, of either kind, stops at once; a third adds nothing', async () => {
  const { said, done, codes } = handlers();
  process.emit('SIGINT');
  process.emit('SIGTERM');
  process.emit('SIGTERM');
  await done;
  expect(said).toEqual(['gently', 'at once']);
  expect(codes()).toEqual([0]);
});

it('a drain that fails is exit code 1', async () => {
  const { done, codes, endGently } = handlers();
  process.emit('SIGTERM');
  endGently(new Error('the broker is away'));
  await done;
  expect(codes()).toEqual([1]);
});

it('once removed it hears nothing', () => {
  const { said } = handlers();
  const before = process.listenerCount('SIGTERM');
  remove?.();
  expect(process.listenerCount('SIGTERM')).toBe(before - 1);
  expect(process.listenerCount('SIGINT')).toBe(process.listenerCount('SIGTERM'));
  expect(said).toEqual([]);
});
