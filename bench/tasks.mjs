/**
 * What the tasks of a measurement do, by its name: nothing, or some milliseconds of CPU or of waiting. Contestants that
 * run their tasks elsewhere do the same there.
 */
import { setTimeout as sleep } from 'node:timers/promises';

const result = Object.freeze({ ok: true });

/** @param task { kind: 'nothing' | 'cpu' | 'wait', ms } */
export function makeTask({ kind, ms }) {
  return {
    nothing: () => result,
    // By the process's CPU time, since time on the wall passes for a process that was put aside, too.
    cpu() {
      const began = process.cpuUsage();
      for (;;) {
        const { user, system } = process.cpuUsage(began);
        if (user + system >= ms * 1_000) return result;
      }
    },
    wait: () => sleep(ms, result),
  }[kind];
}

export const nothing = { kind: 'nothing' };
