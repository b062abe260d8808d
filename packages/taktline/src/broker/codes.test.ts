/** The codes of the servers, and what they mean. */
import { expect, it } from 'vitest';
import type { Lane } from './broker.ts';
import { askedToStop, laneNamed, laneNumber, suspectLanes } from './codes.ts';

it('lanes have a number and a name', () => {
  const lanes: Lane[] = ['usual', 'suspects', 'alone'];
  expect(lanes.map(laneNumber)).toEqual([0, 1, 2]);
  expect(lanes.map((lane) => laneNamed(laneNumber(lane)))).toEqual(lanes);
});

it('suspects wait in the lanes whose bits are set', () => {
  expect([0, 1, 2, 3].map(suspectLanes)).toEqual([[], ['suspects'], ['alone'], ['suspects', 'alone']]);
});

it('the jobs of a claim whose bits are set are to stop', () => {
  expect(askedToStop(['1-7:0101', '1-8:1'])).toEqual([
    { claim: '1-7', position: 1 },
    { claim: '1-7', position: 3 },
    { claim: '1-8', position: 0 },
  ]);
  expect(askedToStop([])).toEqual([]);
});
