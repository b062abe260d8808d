/** What a task can say beside its result: run me later, drop me, fail for good. */
import { createApp, discard, PermanentError, retryLater, TaktlineError } from 'taktline';
import { z } from 'zod';

const app = createApp({ queues: [{ name: 'orders', priority: 6 }] });
const Order = z.object({ id: z.number(), status: z.enum(['open', 'closed', 'broken']) });

const ship = app.task({
  name: 'order.ship',
  queue: 'orders',
  input: Order,
  retry: { maxAttempts: 3, backoff: { type: 'fixed', delay: '50ms' } },
  run: async (order, ctx) => {
    if (order.status === 'closed') return discard('the order was closed');
    if (order.status === 'broken') throw new PermanentError('the order has no address');
    if (ctx.attempt === 1) return retryLater('20ms', 'the truck is not there yet');
    return { shipped: order.id, executions: ctx.attempt };
  },
});

await app.worker({ concurrency: 10 }).start();
const [open, closed, broken] = await ship.enqueueMany([
  { id: 1, status: 'open' },
  { id: 2, status: 'closed' },
  { id: 3, status: 'broken' },
]);

console.log(await open?.result());
for (const handle of [closed, broken]) {
  await handle?.result().catch((error: unknown) => console.log(error instanceof TaktlineError ? error.code : error));
}
const { items } = await app.inspector.deadLetters.list({ task: 'order.ship' });
console.log(items.map((letter) => letter.message));
await app.close();
