/** The app of autoscaling.mjs, as its worker's children load it. Each job waits, as a call to another service does. */
import { setTimeout as sleep } from 'node:timers/promises';
import { createApp, jsonLogger } from '../packages/taktline/dist/index.js';

export const taskMs = 200;

export const app = createApp({
  brokerUrl: process.env.BENCH_AUTOSCALING_URL,
  queues: [{ name: 'wave', priority: 5 }],
  logger: jsonLogger('info', (line) => process.env.TAKTLINE_CHILD ?? process.emit('log-line', line)),
});

export const work = app.task({ name: 'wave', queue: 'wave', run: () => sleep(taskMs, 'done') });
