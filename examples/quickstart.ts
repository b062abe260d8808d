import { createApp } from 'taktline';
import { z } from 'zod';

const app = createApp({ queues: [{ name: 'email.normal', priority: 5 }] });

const sendEmail = app.task({
  name: 'email.send',
  queue: 'email.normal',
  input: z.object({ to: z.email().meta({ sensitive: true }), template: z.string() }),
  retry: { maxAttempts: 5, backoff: { type: 'exponential', initial: '60s', factor: 2 } },
  timeLimit: '30s',
  run: async ({ to, template }, ctx) => {
    ctx.log.info('sending', { template });
    return { messageId: `<${ctx.id}@example.com>`, domain: to.split('@')[1] };
  },
});

await app.worker({ concurrency: 100 }).start();
const handle = await sendEmail.delay({ to: 'ann@example.com', template: 'welcome' });
console.log((await handle.result({ timeout: '10s' })).domain);
await app.close();
