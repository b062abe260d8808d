/**
 * A worker process of the platform with all queues and a relay, to be killed. Its clock goes ahead of the machine's by as much as the
 * test says.
 */
import { jsonLogger } from 'taktline';
import { createPlatform } from '../../dist/app.js';
import { openDatabase } from '../../dist/database/database.js';
import { createMailer } from '../../dist/email/mailer.js';
import { loadTemplates } from '../../dist/email/templates.js';
import { createUnsubscribeLinks } from '../../dist/email/unsubscribe.js';
import { createStripeGateway } from '../../dist/payments/stripe-gateway.js';

const options = JSON.parse(process.argv[2]);
const { name, brokerUrl, databaseUrl, smtp, gateway, lease } = options;
let { aheadMs } = options;
process.on('message', (message) => {
  ({ aheadMs } = message);
});
// It does not outlive the test.
process.on('disconnect', () => process.exit(1));

const { app } = createPlatform(
  { brokerUrl, databaseUrl: () => databaseUrl, logger: jsonLogger(process.env.TAKTLINE_LOG_LEVEL ?? 'warn') },
  {
    database: openDatabase({ url: () => databaseUrl }),
    mailer: createMailer(smtp),
    templates: loadTemplates(),
    unsubscribe: createUnsubscribeLinks({ secret: 's'.repeat(32), publicUrl: () => 'https://mail.example.com' }),
    mailFrom: { name: 'Taktline', address: 'taktline@taktline.example' },
    gateway: createStripeGateway(gateway),
    timeZone: 'UTC',
    retryInitial: '50ms',
    now: () => Date.now() + aheadMs,
  },
);
await app.relay().start();
await app.worker({ name, concurrency: 10, lease, pollInterval: '100ms' }).start();
process.send({ kind: 'started' });
