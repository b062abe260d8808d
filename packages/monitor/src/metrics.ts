/**
 * A route for Prometheus: /metrics. What it tells is asked when it is scraped, so nobody measures while nobody looks. It holds
 * numbers only; what went wrong is for the log.
 */
import { Hono } from 'hono';
import { Gauge, Registry } from 'prom-client';

/** Of an app, what is measured. */
export interface Measured {
  readonly outbox: { lag(): Promise<{ readonly waiting: number; readonly oldestMs: number | undefined; readonly kept: number }> };
}

export interface MetricsOptions {
  /** What a scrape may take, in milliseconds. Default 2000. */
  readonly timeoutMs?: number;
}

/** An app without an outbox has no such metrics. */
const absent: ReadonlySet<unknown> = new Set(['INVALID_OPTION', 'OUTBOX_SCHEMA']);

/**
 * @example
 * server.route('/', metricsRoutes(app));
 */
export function metricsRoutes(app: Measured, { timeoutMs = 2_000 }: MetricsOptions = {}): Hono {
  return new Hono().get('/metrics', async (c) => {
    const registry = new Registry();
    const gauge = (name: string, help: string, value: number) => new Gauge({ name, help, registers: [registry] }).set(value);
    try {
      const lag = await lagOf(app, timeoutMs);
      if (lag !== undefined) {
        gauge('taktline_outbox_waiting_jobs', 'Jobs that have been committed and are not at the broker yet.', lag.waiting);
        gauge('taktline_outbox_oldest_seconds', 'How long the oldest of them has waited; 0 when none waits.', (lag.oldestMs ?? 0) / 1_000);
        gauge('taktline_outbox_kept_jobs', 'Jobs of queues that are kept until the end, not known to have ended.', lag.kept);
      }
    } catch {
      return c.text('the metrics could not be read\n', 503);
    }
    return c.body(await registry.metrics(), 200, { 'content-type': registry.contentType });
  });
}

type Lag = Awaited<ReturnType<Measured['outbox']['lag']>>;

async function lagOf({ outbox }: Measured, timeoutMs: number): Promise<Lag | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(reject, timeoutMs, new Error('timed out'));
  });
  try {
    return await Promise.race([outbox.lag(), late]);
  } catch (error) {
    if (absent.has((error as { readonly code?: unknown }).code)) return undefined;
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
