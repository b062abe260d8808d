/** One clock for all processes of a run, in milliseconds: CLOCK_MONOTONIC, which Python's time.monotonic() reads too. */

const tries = 100;

// What passes between the two readings makes the difference smaller, and once in a while a process is put aside there.
const origin = Math.max(...Array.from({ length: tries }, () => Number(process.hrtime.bigint()) / 1e6 - performance.now()));

export function now() {
  return origin + performance.now();
}
