import { describe, expect, it } from 'vitest';
import { cutList } from './bulk-list.ts';

async function sizes(recipients: Parameters<typeof cutList>[0]): Promise<number[]> {
  const parts: number[] = [];
  for await (const part of cutList(recipients)) parts.push(part.length);
  return parts;
}

describe('cutList', () => {
  it('cuts after a thousand recipients, and leaves none out', async () => {
    expect(await sizes([])).toEqual([]);
    expect(await sizes(Array.from({ length: 2_500 }, (_, number) => ({ to: `${number}@example.com` })))).toEqual([1_000, 1_000, 500]);
  });

  it('cuts before a part has half a mebibyte', async () => {
    const large = { to: 'a@example.com', context: { note: 'x'.repeat(200 * 1024) } };
    expect(await sizes([large, large, large, large, large])).toEqual([2, 2, 1]);
    expect(await sizes([{ ...large, context: { note: 'x'.repeat(600 * 1024) } }, large])).toEqual([1, 1]);
  });
});
