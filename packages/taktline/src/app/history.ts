/**
 * What the workers have counted: how many jobs came to what, and how long they waited and ran, by minute for a day. Read
 * from the broker; nobody has to scrape.
 */
import type { Inspector } from '../broker/inspector.ts';
import { type Duration, toMs } from '../support/durations.ts';
import { groupBy } from '../support/group-by.ts';
import { added, quantile } from '../support/histogram.ts';
import { TaktlineError } from '../support/taktline-error.ts';

export type HistoryField = 'minute' | 'task' | 'queue' | 'outcome';

export interface HistoryQuery {
  /** How far back, in whole minutes. Default 1 hour, at most a day. */
  readonly since?: Duration;
  /** A row for each of their combinations. Default `['task', 'queue', 'outcome']`. */
  readonly by?: readonly HistoryField[];
  readonly task?: string;
  readonly queue?: string;
  readonly outcome?: string;
}

export interface HistoryRow {
  /** When the minute began; ISO 8601. Like the next three: undefined when it is not in `by`. */
  readonly minute: string | undefined;
  readonly task: string | undefined;
  readonly queue: string | undefined;
  /** `succeeded`, `retried`, `failed`, `deferred`, `cancelled`, `handed-back`, `unknown-task` or `lost`. */
  readonly outcome: string | undefined;
  /** Attempts that ended. */
  readonly count: number;
  readonly perSecond: number;
  /** From when a job could have run to its start, in ms. Off by a sixth at most. */
  readonly waited: Percentiles | undefined;
  /** How long attempts took, in ms. */
  readonly ran: Percentiles | undefined;
}

export interface Percentiles {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

const minuteMs = 60_000;
const day = 24 * 60;

/** Rows sorted by minute, then the most first. */
export async function readHistory(inspector: Inspector, now: number, query: HistoryQuery = {}): Promise<readonly HistoryRow[]> {
  const minutes = Math.ceil(toMs(query.since ?? '1h', 'since') / minuteMs);
  if (minutes < 1 || minutes > day) throw new TaktlineError('INVALID_OPTION', 'since is from one minute to one day');
  const by = query.by ?? ['task', 'queue', 'outcome'];
  const to = Math.floor(now / minuteMs);
  const rows = (await inspector.counts(to - minutes + 1, to)).filter(
    ({ task, queue, outcome }) =>
      (query.task ?? task) === task && (query.queue ?? queue) === queue && (query.outcome ?? outcome) === outcome,
  );
  // The minute under way has not been going for a minute yet.
  const wholeSeconds = (minutes - 1) * 60 + Math.max(1, (now % minuteMs) / 1_000);
  const perRow = (minute: number) => (!by.includes('minute') ? wholeSeconds : minute === to ? Math.max(1, (now % minuteMs) / 1_000) : 60);
  const groups = groupBy(rows, (row) => JSON.stringify(by.map((field) => row[field])));
  return [...groups.values()]
    .map((group): HistoryRow & { readonly at: number } => {
      const [first] = group as [(typeof group)[number], ...typeof group];
      const count = group.reduce((sum, row) => sum + row.count, 0);
      return {
        at: by.includes('minute') ? first.minute : 0,
        minute: by.includes('minute') ? new Date(first.minute * minuteMs).toISOString() : undefined,
        task: by.includes('task') ? first.task : undefined,
        queue: by.includes('queue') ? first.queue : undefined,
        outcome: by.includes('outcome') ? first.outcome : undefined,
        count,
        perSecond: count / perRow(first.minute),
        waited: percentiles(group.map((row) => row.waited)),
        ran: percentiles(group.map((row) => row.ran)),
      };
    })
    .sort((one, other) => one.at - other.at || other.count - one.count)
    .map(({ at: _at, ...row }) => row);
}

function percentiles(histograms: Parameters<typeof added>[0]): Percentiles | undefined {
  const sum = added(histograms);
  const [p50, p95, p99] = [0.5, 0.95, 0.99].map((share) => quantile(sum, share));
  return p50 === undefined ? undefined : { p50, p95: p95 as number, p99: p99 as number };
}
