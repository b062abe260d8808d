/** The time of this machine, behind an interface so that tests can move it. Leases and due times use the broker's clock, never this one. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
}

export const systemClock: Clock = { now: () => Date.now() };
