/** What doctor says alike of every server. */
import type { Finding } from './inspector.ts';

/** A server has answered a question. */
export interface Answered {
  /** What people call the server. */
  readonly where: string;
  /** When it was asked, by this machine, in ms since the Unix epoch, and how long the answer took. */
  readonly askedAt: number;
  readonly tookMs: number;
}

export function reachable({ where, tookMs }: Answered): Finding {
  return { check: 'broker', ok: true, detail: `${where} answered in ${tookMs} ms` };
}

/** @param times as the servers said them, in ms since the Unix epoch; the one that is farthest off counts */
export function clock({ askedAt, tookMs }: Answered, ...times: readonly number[]): Finding {
  const skews = times.map((time) => Math.round(time - (askedAt + tookMs / 2)));
  const skew = skews.reduce((worst, one) => (Math.abs(one) > Math.abs(worst) ? one : worst), 0);
  return {
    check: 'clock',
    ok: Math.abs(skew) < 2_000,
    detail: `this machine is ${Math.abs(skew)} ms ${skew > 0 ? 'behind' : 'ahead of'} the server`,
    advice: 'set both by NTP: an eta is a time by the caller, and is kept by the server',
  };
}

export function primary(replica: boolean): Finding {
  return {
    check: 'primary',
    ok: !replica,
    detail: replica ? 'the server is a read-only replica' : 'the server takes writes',
    advice: 'name the primary in the URL',
  };
}
