/** What the functions and scripts in the servers say in a letter or a number, the same on every broker. */
import type { CancelReply, EndedJob, Lane, Pulse } from './broker.ts';

const lanes: readonly Lane[] = ['usual', 'suspects', 'alone'];
export const laneNumber = (lane: Lane): number => lanes.indexOf(lane);
export const laneNamed = (number: number): Lane => lanes[number] ?? 'usual';

/** The lanes in which suspects wait. @param bits 1: `suspects`; 2: `alone` */
export function suspectLanes(bits: number): readonly Lane[] {
  return lanes.filter((_, number) => number > 0 && (bits & number) !== 0);
}

/** The jobs that are to stop. @param asked for a claim `claim:bits`, a bit for each of its jobs */
export function askedToStop(asked: readonly string[]): Pulse['cancelled'] {
  return asked.flatMap((entry) => {
    const [claim, bits] = entry.split(':') as [string, string];
    return [...bits].flatMap((bit, position) => (bit === '1' ? [{ claim, position }] : []));
  });
}

export const cancelReplies = new Map<string, CancelReply>([
  ['d', 'done'],
  ['a', 'asked'],
  ['e', 'ended'],
]);

/** How a job ended that is no dead letter. */
export const endedStates = new Map<string, EndedJob['state']>([
  ['s', 'succeeded'],
  ['c', 'cancelled'],
  ['x', 'expired'],
]);
