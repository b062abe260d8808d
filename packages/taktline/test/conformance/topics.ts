/** Every topic of the suite. */
import { waiting } from './backlog.ts';
import { cancelling } from './cancel.ts';
import { describing } from './catalogue.ts';
import { claiming } from './claim.ts';
import { clocks } from './clock.ts';
import { counting } from './counting.ts';
import { countsAndLists } from './counts-and-lists.ts';
import { deadLetters } from './dead-letters.ts';
import { enqueueing } from './enqueue.ts';
import { telling } from './events.ts';
import { expiry } from './expires.ts';
import { finishing } from './finished.ts';
import { hostileInput } from './hostile-input.ts';
import { leases } from './lease.ts';
import { livesOfJobs } from './life-of-a-job.ts';
import { missingClaims } from './missing.ts';
import { moving } from './moving.ts';
import { namespaces } from './namespaces.ts';
import { opening } from './opening.ts';
import { outages } from './outage.ts';
import { packing } from './packs.ts';
import { pausing } from './pause.ts';
import { producing } from './producers.ts';
import { progressing } from './progress.ts';
import { requesting } from './requests.ts';
import { scheduling } from './schedule.ts';
import { settling } from './settle.ts';
import type { Subject } from './subject.ts';
import { upkeep } from './tidy.ts';
import { timetables } from './timetable.ts';
import { uniqueIds } from './unique-ids.ts';
import { wakeUps } from './wake-ups.ts';

export const topics: readonly ((subject: Subject) => void)[] = [
  opening,
  enqueueing,
  uniqueIds,
  producing,
  scheduling,
  expiry,
  claiming,
  settling,
  packing,
  leases,
  missingClaims,
  cancelling,
  progressing,
  deadLetters,
  finishing,
  upkeep,
  moving,
  countsAndLists,
  waiting,
  pausing,
  requesting,
  counting,
  telling,
  describing,
  timetables,
  wakeUps,
  namespaces,
  clocks,
  hostileInput,
  outages,
  livesOfJobs,
];
