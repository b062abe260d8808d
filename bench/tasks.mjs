/**
 * What the tasks of a measurement do, by its name: nothing, or some milliseconds of CPU or of waiting; and maybe leak. Contestants that
 * run their tasks elsewhere do the same there.
 */
import { setTimeout as sleep } from 'node:timers/promises';

const result = Object.freeze({ ok: true });

/** @param task { kind: 'nothing' | 'cpu' | 'wait' | 'leak', ms, bytes } */
export function makeTask({ kind, ms, bytes }) {
  const kept = [];
  // By the process's CPU time, since time on the wall passes for a process that was put aside, too.
  const cpu = () => {
    const began = process.cpuUsage();
    for (;;) {
      const { user, system } = process.cpuUsage(began);
      if (user + system >= ms * 1_000) return result;
    }
  };
  return {
    nothing: () => result,
    cpu,
    leak() {
      kept.push(Buffer.alloc(bytes, kept.length));
      return cpu();
    },
    wait: () => sleep(ms, result),
  }[kind];
}

export const nothing = { kind: 'nothing' };
