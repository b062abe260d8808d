/** Every topic of the suite. */
import { claiming } from './claim.ts';
import { enqueueing } from './enqueue.ts';
import { expiry } from './expires.ts';
import { scheduling } from './schedule.ts';
import type { Subject } from './subject.ts';
import { uniqueIds } from './unique-ids.ts';

export const topics: readonly ((subject: Subject) => void)[] = [enqueueing, uniqueIds, scheduling, expiry, claiming];
