/** An id given by the caller makes one job, however often it is sent. */
import { createApp, TaktlineError } from 'taktline';
import { z } from 'zod';

const app = createApp({ queues: [{ name: 'payments', priority: 10 }] });
const charge = app.task({
  name: 'payment.charge',
  queue: 'payments',
  input: z.object({ order: z.number(), amount: z.int() }),
  run: ({ amount }) => ({ charged: amount }),
});

const first = await charge.applyAsync({ order: 456, amount: 10_000 }, { id: 'charge-456', countdown: '10ms', priority: 9 });
const again = await charge.applyAsync({ order: 456, amount: 10_000 }, { id: 'charge-456' });
console.log(first.id === again.id);

try {
  await charge.applyAsync({ order: 456, amount: 99 }, { id: 'charge-456' });
} catch (error) {
  console.log(error instanceof TaktlineError && error.code);
}

await app.worker().start();
console.log(await again.result({ timeout: '10s' }));
await app.close();
