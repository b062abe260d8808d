/**
 * Two routes for whoever runs the process: /healthz (does it live?) and /readyz (can it do its work?). An orchestrator
 * restarts on the first and takes traffic away on the second, so a broker that is down must not fail /healthz.
 * Answers name the check that failed and never repeat an error's text, which can hold a host, a user or a password.
 */
import { Hono } from 'hono';

export interface HealthOptions {
  /** What each check may take, in milliseconds. Default 2000. */
  readonly timeoutMs?: number;
}

type CheckState = 'ok' | 'failed' | 'timed out';

/**
 * @param app its broker is the check called `broker`
 * @param checks further checks by name; one passes when its promise resolves
 *
 * @example
 * server.route('/', healthRoutes(app, { database: () => pool.query('select 1') }));
 */
export function healthRoutes(
  app: { ping(): Promise<void> },
  checks: Readonly<Record<string, () => Promise<unknown>>> = {},
  { timeoutMs = 2_000 }: HealthOptions = {},
): Hono {
  const all = Object.entries({ broker: () => app.ping(), ...checks });
  return new Hono()
    .get('/healthz', (c) => c.json({ status: 'ok' }))
    .get('/readyz', async (c) => {
      const states = await Promise.all(all.map(async ([name, check]) => [name, await stateOf(check, timeoutMs)] as const));
      const ready = states.every(([, state]) => state === 'ok');
      return c.json({ status: ready ? 'ok' : 'failed', checks: Object.fromEntries(states) }, ready ? 200 : 503);
    });
}

async function stateOf(check: () => Promise<unknown>, timeoutMs: number): Promise<CheckState> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<CheckState>((resolve) => {
    timer = setTimeout(resolve, timeoutMs, 'timed out');
  });
  // Called inside, so that a check that throws at once counts as failed too.
  const outcome = (async () => check())().then(
    (): CheckState => 'ok',
    (): CheckState => 'failed',
  );
  try {
    return await Promise.race([outcome, late]);
  } finally {
    clearTimeout(timer);
  }
}
