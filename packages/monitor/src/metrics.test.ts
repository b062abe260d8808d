import { describe, expect, it } from 'vitest';
import { type Measured, metricsRoutes } from './metrics.ts';

const scrape = async (lag: Measured['outbox']['lag'], timeoutMs?: number) => {
  const response = await metricsRoutes({ outbox: { lag } }, timeoutMs === undefined ? {} : { timeoutMs }).request('/metrics');
  return { status: response.status, type: response.headers.get('content-type'), text: await response.text() };
};
const failing = (code: string) => () => Promise.reject(Object.assign(new Error('postgres://app:hunter2@db'), { code }));

describe('metricsRoutes', () => {
  it('tells the lag of the outbox as it is now', async () => {
    const { status, type, text } = await scrape(async () => ({ waiting: 3, oldestMs: 1_500, kept: 2 }));
    expect(status).toBe(200);
    expect(type).toMatch(/^text\/plain; version=0\.0\.4/);
    const values = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    expect(values).toEqual(['taktline_outbox_waiting_jobs 3', 'taktline_outbox_oldest_seconds 1.5', 'taktline_outbox_kept_jobs 2']);
    expect((await scrape(async () => ({ waiting: 0, oldestMs: undefined, kept: 0 }))).text).toContain('taktline_outbox_oldest_seconds 0\n');
  });

  it.each(['INVALID_OPTION', 'OUTBOX_SCHEMA'])('has none for an app without an outbox (%s)', async (code) => {
    expect(await scrape(failing(code))).toMatchObject({ status: 200, text: expect.not.stringContaining('outbox') as string });
  });

  it('says that it could not read them, and hides why', async () => {
    expect(await scrape(failing('OUTBOX_UNAVAILABLE'))).toMatchObject({ status: 503, text: 'the metrics could not be read\n' });
  });

  it('does not wait for a database that hangs', async () => {
    expect((await scrape(() => new Promise(() => {}), 20)).status).toBe(503);
  });
});
