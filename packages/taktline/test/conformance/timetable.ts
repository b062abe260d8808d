/** Topic: the timetable. One beat leads, and only under its newest lead is written how far a schedule has come. */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { NewSchedule, Timetable } from '../../src/broker/timetable.ts';
import { eventually } from '../support/eventually.ts';
import type { Subject } from './subject.ts';

const leaseMs = 60_000;

function schedule(name: string, definition = `{"of":"${name}"}`, source: NewSchedule['source'] = 'code'): NewSchedule {
  return { name, definition, source };
}

async function one(timetable: Timetable, name: string) {
  const found = (await timetable.schedules()).find((each) => each.name === name);
  if (found === undefined) throw new Error(`no schedule ${name}`);
  return found;
}

export function timetables(subject: Subject): void {
  describe('the timetable', () => {
    it('has one leader, which goes on leading under the same fence', async () => {
      await using space = await subject.space();
      const [a, b] = [(await space.open()).timetable, (await space.open()).timetable];
      const first = await a.lead('a', leaseMs);
      expect(first.fence).toBeDefined();
      expect(Math.abs(first.now - Date.now())).toBeLessThan(60_000);
      expect((await b.lead('b', leaseMs)).fence).toBeUndefined();
      const again = await a.lead('a', leaseMs);
      expect(again.fence).toBe(first.fence);
      expect(again.now).toBeGreaterThanOrEqual(first.now);
    });

    it('one of many that ask at once leads', async () => {
      await using space = await subject.space();
      const timetables = await Promise.all(Array.from({ length: 5 }, async () => (await space.open()).timetable));
      const leads = await Promise.all(timetables.flatMap((each, n) => [each.lead(`b${n}`, leaseMs), each.lead(`b${n}`, leaseMs)]));
      const fences = leads.map(({ fence }) => fence).filter((fence) => fence !== undefined);
      expect(new Set(fences).size).toBe(1);
      expect(fences).toHaveLength(2);
    });

    it('another one leads when the lease has run out, or the leader resigns, under a higher fence', async () => {
      await using space = await subject.space();
      const { timetable } = await space.open();
      const first = await timetable.lead('a', 200);
      let second: string | undefined;
      await eventually(async () => {
        second = (await timetable.lead('b', leaseMs)).fence;
        return second !== undefined;
      }, 'the lease has run out');
      expect(Number(second)).toBeGreaterThan(Number(first.fence));
      expect((await timetable.lead('a', leaseMs)).fence).toBeUndefined();
      await timetable.resign('a');
      expect((await timetable.lead('a', leaseMs)).fence).toBeUndefined();
      await timetable.resign('b');
      expect(Number((await timetable.lead('a', leaseMs)).fence)).toBeGreaterThan(Number(second));
    });

    it('a leader whose own lease ran out leads anew, under another fence', async () => {
      await using space = await subject.space();
      const { timetable } = await space.open();
      const first = await timetable.lead('a', 50);
      await sleep(200);
      expect(Number((await timetable.lead('a', leaseMs)).fence)).toBeGreaterThan(Number(first.fence));
    });

    it('keeps what was put, whatever is in it', async () => {
      await using space = await subject.space();
      const { timetable } = await space.open();
      expect(await timetable.schedules()).toEqual([]);
      await timetable.put([]);
      const awkward = JSON.stringify({ text: 'separators \u001d \u001e, "quoted" {a} $1 👍' });
      await timetable.put([schedule('b'), schedule('a', awkward, 'person')]);
      const stored = await timetable.schedules();
      expect(stored).toMatchObject([
        { name: 'a', definition: awkward, source: 'person', paused: false, state: undefined },
        { name: 'b', definition: '{"of":"b"}', source: 'code', paused: false, state: undefined },
      ]);
      for (const { since } of stored) expect(Math.abs(since - Date.now())).toBeLessThan(60_000);
    });

    it('tells the leader of every change', async () => {
      await using space = await subject.space();
      const { timetable } = await space.open();
      const seen = new Set<number>();
      const look = async () => {
        seen.add((await timetable.lead('a', leaseMs)).changes);
      };
      await look();
      await timetable.put([schedule('a')]);
      await look();
      await timetable.setPaused(['a'], true);
      await look();
      await timetable.setPaused(['a'], false);
      await look();
      await timetable.remove(['a']);
      await look();
      expect(seen.size).toBe(5);
      await look();
      expect(seen.size).toBe(5);
    });

    it('writes states under the newest fence only', async () => {
      await using space = await subject.space();
      const { timetable } = await space.open();
      await timetable.put([schedule('a'), schedule('b')]);
      const old = (await timetable.lead('a', 50)).fence as string;
      const [a, b] = await timetable.schedules();
      const change = (state: string) => [
        { name: 'a', version: a?.version ?? 0, state },
        { name: 'b', version: b?.version ?? 0, state },
        { name: 'gone', version: 1, state },
      ];
      expect(await timetable.advance(old, [])).toEqual([]);
      expect(await timetable.advance(old, change('{"n":1}'))).toEqual([true, true, false]);
      await sleep(200);
      const newest = (await timetable.lead('b', leaseMs)).fence as string;
      expect(await timetable.advance(old, change('{"n":2}'))).toEqual([false, false, false]);
      expect(await timetable.schedules()).toMatchObject([{ state: '{"n":1}' }, { state: '{"n":1}' }]);
      expect(await timetable.advance(newest, change('{"n":3}'))).toEqual([true, true, false]);
      expect(await timetable.schedules()).toMatchObject([{ state: '{"n":3}' }, { state: '{"n":3}' }]);
    });

    it('writes no state that follows from an older version of its schedule', async () => {
      await using space = await subject.space();
      const { timetable } = await space.open();
      await timetable.put([schedule('a'), schedule('b')]);
      const fence = (await timetable.lead('a', leaseMs)).fence as string;
      const before = await timetable.schedules();
      await timetable.put([schedule('a', '{"of":"another"}'), schedule('b')]);
      const changes = before.map(({ name, version }) => ({ name, version, state: '{}' }));
      expect(await timetable.advance(fence, changes)).toEqual([false, true]);
      const { version } = await one(timetable, 'a');
      expect(await timetable.advance(fence, [{ name: 'a', version, state: '{}' }])).toEqual([true]);
      await timetable.setPaused(['a'], true);
      expect(await timetable.advance(fence, [{ name: 'a', version, state: '{"late":1}' }])).toEqual([false]);
      expect(await one(timetable, 'a')).toMatchObject({ state: '{}', paused: true });
    });

    it('put again it stays as it was: how far it has come, since when, and whether it is paused', async () => {
      await using space = await subject.space();
      const { timetable } = await space.open();
      await timetable.put([schedule('a')]);
      const fence = (await timetable.lead('a', leaseMs)).fence as string;
      const { version, since } = await one(timetable, 'a');
      await timetable.advance(fence, [{ name: 'a', version, state: '{"far":1}' }]);
      await timetable.put([schedule('a')]);
      expect(await one(timetable, 'a')).toMatchObject({ version, since, state: '{"far":1}', source: 'code' });
      await timetable.setPaused(['a'], true);
      await sleep(5);
      await timetable.put([schedule('a', '{"of":"another"}', 'person')]);
      const changed = await one(timetable, 'a');
      expect(changed).toMatchObject({ definition: '{"of":"another"}', since, state: '{"far":1}', paused: true, source: 'person' });
      expect(changed.version).not.toBe(version);
    });

    it('pauses and resumes, and says what is not there', async () => {
      await using space = await subject.space();
      const { timetable } = await space.open();
      await timetable.put([schedule('a'), schedule('b')]);
      const { since } = await one(timetable, 'a');
      await sleep(5);
      expect(await timetable.setPaused(['a', 'gone'], true)).toEqual([true, false]);
      expect(await timetable.schedules()).toMatchObject([
        { name: 'a', paused: true, since },
        { name: 'b', paused: false },
      ]);
      expect(await timetable.setPaused(['a'], true)).toEqual([true]);
      expect(await timetable.setPaused(['a', 'b'], false)).toEqual([true, true]);
      const resumed = await one(timetable, 'a');
      expect(resumed.paused).toBe(false);
      expect(resumed.since).toBeGreaterThan(since);
      expect(await timetable.remove(['b', 'gone'])).toEqual([true, false]);
      expect((await timetable.schedules()).map(({ name }) => name)).toEqual(['a']);
    });
  });
}
