/** Sizes as people write them. */
import { expect, it } from 'vitest';
import { toBytes } from './sizes.ts';

it.each([
  [1_000, 1_000],
  ['512kb', 524_288],
  ['200mb', 209_715_200],
  ['1.5gb', 1_610_612_736],
  ['1 MB', 1_048_576],
])('%s is %i bytes', (size, bytes) => {
  expect(toBytes(size as never, 'x')).toBe(bytes);
});

it.each([0, -1, Number.NaN, '5', '5tb', 'mb', '-1mb', undefined, {}])('%s is refused by name', (size) => {
  expect(() => toBytes(size as never, 'maxMemory')).toThrow(
    expect.objectContaining({ code: 'INVALID_OPTION', message: expect.stringContaining('maxMemory') }),
  );
});
