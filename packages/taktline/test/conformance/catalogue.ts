/** Topic: the catalogue. Tasks as workers have described them last. */
import { describe, expect, it } from 'vitest';
import type { Subject } from './subject.ts';

export function describing(subject: Subject): void {
  describe('the catalogue', () => {
    it('has the newest description of each task, and when it was given', async () => {
      await using space = await subject.space();
      const [{ broker, inspector }, other] = [await space.open(), await space.open()];
      expect(await inspector.catalogue()).toEqual([]);
      await broker.describe([]);
      const awkward = JSON.stringify({ text: 'separators \u001d \u001e, "quoted" 👍' });
      await broker.describe([
        { name: 'b', description: '{"v":1}' },
        { name: 'a', description: awkward },
      ]);
      await Promise.all([
        other.broker.describe([{ name: 'b', description: '{"v":2}' }]),
        broker.describe([{ name: 'c', description: '{}' }]),
      ]);
      const entries = (await inspector.catalogue()).toSorted((one, two) => (one.name < two.name ? -1 : 1));
      expect(entries.map(({ name, description }) => [name, description])).toEqual([
        ['a', awkward],
        ['b', '{"v":2}'],
        ['c', '{}'],
      ]);
      for (const { describedAt } of entries) expect(Math.abs(describedAt - Date.now())).toBeLessThan(60_000);
    });
  });
}
