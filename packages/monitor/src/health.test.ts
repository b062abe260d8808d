import { describe, expect, it } from 'vitest';
import { healthRoutes } from './health.ts';

const up = { ping: async () => {} };
const down = { ping: async () => Promise.reject(new Error('postgres://app:hunter2@db is down')) };

describe('healthRoutes', () => {
  it('/healthz answers while the broker is down', async () => {
    const response = await healthRoutes(down).request('/healthz');
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ status: 'ok' });
  });

  it('/readyz is ready when every check passes', async () => {
    const response = await healthRoutes(up, { database: async () => 1 }).request('/readyz');
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ status: 'ok', checks: { broker: 'ok', database: 'ok' } });
  });

  it('/readyz names what failed and hides why', async () => {
    const response = await healthRoutes(down, {
      database: async () => 1,
      disk: () => {
        throw new Error('hunter2');
      },
    }).request('/readyz');
    expect(response.status).toBe(503);
    const text = await response.text();
    expect(JSON.parse(text)).toEqual({ status: 'failed', checks: { broker: 'failed', database: 'ok', disk: 'failed' } });
    expect(text).not.toContain('hunter2');
  });

  it('/readyz does not wait for a check that hangs', async () => {
    const hung = { ping: () => new Promise<void>(() => {}) };
    const response = await healthRoutes(hung, {}, { timeoutMs: 20 }).request('/readyz');
    expect(response.status).toBe(503);
    expect(await response.json()).toEqual({ status: 'failed', checks: { broker: 'timed out' } });
  });
});
