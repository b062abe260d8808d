/** How jobs are parted into packs: nothing lost, order kept, and only what a search by id can find again. */
import fc from 'fast-check';
import { v7 } from 'uuid';
import { describe, expect, it } from 'vitest';
import { pack, packWindowMs } from './packs.ts';

interface Item {
  readonly id: string;
  readonly bytes: number;
  readonly kind: number;
}

const start = 1_790_000_000_000;
const packed = (items: readonly Item[]) =>
  pack(
    items,
    ({ id }) => id,
    ({ bytes }) => bytes,
    (before, item) => before.kind === item.kind,
  );
const idAt = (ms: number) => v7({ msecs: start + ms }).replace(/^(.{14})7/, '$18');
const alike = (count: number, more: Partial<Item> = {}): Item[] =>
  Array.from({ length: count }, () => ({ id: idAt(0), bytes: 100, kind: 0, ...more }));
const sizes = (items: readonly Item[]) => packed(items).map((one) => one.items.length);
const timeOf = (id: string) => Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);

const item = fc.record({
  id: fc.oneof(
    { weight: 9, arbitrary: fc.nat({ max: 600 }).map(idAt) },
    {
      weight: 1,
      arbitrary: fc.constantFrom('named', '../x', v7({ msecs: start }), `${idAt(0).slice(0, 20)}\ud83d\ude00`, `${idAt(0).slice(0, 35)}G`),
    },
  ),
  bytes: fc.oneof({ weight: 9, arbitrary: fc.nat({ max: 700 }) }, { weight: 1, arbitrary: fc.nat({ max: 200_000 }) }),
  kind: fc.constantFrom(0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
});

it('parts any list into runs of it that can be found again', () => {
  fc.assert(
    fc.property(fc.array(item, { maxLength: 400, size: 'max' }), fc.boolean(), (items, sorted) => {
      const given = sorted ? items.toSorted((one, other) => (one.id < other.id ? -1 : 1)) : items;
      const packs = packed(given);
      expect(packs.flatMap((one) => one.items)).toEqual(given);
      for (const { items: list, first, last } of packs) {
        const ids = list.map(({ id }) => id).toSorted();
        expect([first, last]).toEqual([ids[0], ids.at(-1)]);
        if (list.length === 1) continue;
        expect(list.length).toBeGreaterThanOrEqual(8);
        expect(list.length).toBeLessThanOrEqual(128);
        expect(list.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThanOrEqual(64 * 1024);
        expect(Math.max(...list.map(({ bytes }) => bytes))).toBeLessThanOrEqual(4 * 1024);
        expect(new Set(list.map(({ kind }) => kind)).size).toBe(1);
        expect(timeOf(last) - timeOf(first)).toBeLessThanOrEqual(packWindowMs);
      }
    }),
  );
});

describe('a pack', () => {
  it('holds 8 to 128 jobs', () => {
    expect(sizes(alike(7))).toEqual([1, 1, 1, 1, 1, 1, 1]);
    expect(sizes(alike(8))).toEqual([8]);
    expect(sizes(alike(300))).toEqual([128, 128, 44]);
  });

  it('holds 64 KiB, and none of more than a sixteenth of it', () => {
    expect(sizes(alike(40, { bytes: 4_096 }))).toEqual([16, 16, 8]);
    expect(sizes([...alike(8), ...alike(1, { bytes: 4_097 }), ...alike(8)])).toEqual([8, 1, 8]);
  });

  it('spans 250 ms of ids, in whichever order they come', () => {
    const at = (...ms: number[]) => sizes(ms.flatMap((when) => alike(8, { id: idAt(when) })));
    expect(at(0, 250)).toEqual([16]);
    expect(at(250, 0)).toEqual([16]);
    expect(at(0, 251)).toEqual([8, 8]);
    expect(at(251, 0)).toEqual([8, 8]);
    expect(at(100, 0, 260)).toEqual([16, 8]);
  });

  it('holds no ids but those of the engine', () => {
    const foreign = ['x', v7({ msecs: start }), `${idAt(0).slice(0, 20)}~`, `${idAt(0).slice(0, 35)}G`, idAt(0).toUpperCase()];
    for (const id of foreign) expect(sizes([...alike(8), ...alike(3, { id }), ...alike(8)]), id).toEqual([8, 1, 1, 1, 8]);
  });

  it('ends where something differs', () => {
    expect(sizes([...alike(8), ...alike(9, { kind: 1 })])).toEqual([8, 9]);
  });
});
