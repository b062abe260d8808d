import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPostgres, type TestPostgres } from '../../test/database.ts';
import { patience } from '../../test/patience.ts';
import { startTestPlatform } from '../../test/platform.ts';
import { createMailboxRules } from '../mailbox/mailbox-rules.ts';
import { startDemoTraffic } from './demo-traffic.ts';

let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.stop());

describe('the sample traffic', () => {
  it('shows all templates, a retry and a dead letter, and ends', async () => {
    const rules = createMailboxRules();
    const platform = await startTestPlatform(postgres, {
      smtp: {
        rcpt: (address) => {
          const refusal = rules.check(address);
          return refusal && `${refusal.responseCode} ${refusal.message}`;
        },
      },
    });
    try {
      await platform.startWorker();
      const errors: unknown[] = [];
      const demo = startDemoTraffic({ tasks: platform.tasks, onError: (error) => errors.push(error), periodMs: 1, limit: 24 });
      const records = () => platform.database.selectFrom('email_deliveries').select(['template', 'status', 'attempts', 'kind']).execute();
      // 22 single mails and twice a newsletter to three readers.
      await expect
        .poll(async () => (await records()).filter((record) => record.status === 'sent' || record.status === 'bounced').length, patience)
        .toBe(28);
      await demo.stop();
      const seen = await records();
      expect(errors).toEqual([]);
      expect(seen).toHaveLength(28);
      expect(new Set(seen.map((record) => record.template))).toEqual(new Set(['welcome', 'order_status', 'system_alert', 'newsletter']));
      expect(seen.filter((record) => record.attempts === 2)).toHaveLength(2);
      await expect.poll(async () => (await platform.app.inspector.deadLetters.list()).items.length, patience).toBe(2);
    } finally {
      await platform.stop();
    }
  });

  it('goes on when the broker does not answer, and says so', async () => {
    const errors: unknown[] = [];
    let asked = 0;
    const broken = {
      delay: async () => {
        asked += 1;
        throw new Error('away');
      },
    };
    const demo = startDemoTraffic({
      tasks: { sendEmail: broken, sendUrgent: broken, sendBulk: broken } as unknown as Parameters<typeof startDemoTraffic>[0]['tasks'],
      onError: (error) => errors.push(error),
      periodMs: 1,
      limit: 5,
    });
    await expect.poll(() => errors.length, patience).toBe(5);
    await demo.stop();
    expect(asked).toBe(5);
  });
});
