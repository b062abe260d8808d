/** What a worker does when the broker answers badly; what it does when all is well is in test/e2e. */

import { afterEach, beforeEach, expect, it } from 'vitest';
import { eventually } from '../../test/support/eventually.ts';
import { type TestNamespace, testNamespace } from '../../test/support/namespace.ts';
import { watched } from '../../test/support/watched.ts';
import { type OpenedBroker, openBroker } from '../broker/open-broker.ts';
import { Effects } from '../outbox/effects.ts';
import { newId } from '../support/ids.ts';
import { silentLogger } from '../support/logger.ts';
import { TaktlineError } from '../support/taktline-error.ts';
import { TaskRegistry } from '../task/registry.ts';
import { Worker } from './worker.ts';

const queues = [{ name: 'work', priority: 5 }];
let space: TestNamespace;
let opened: OpenedBroker;

beforeEach(async () => {
  space = await testNamespace();
  opened = await openBroker({ url: space.url, namespace: space.name, queues, deadLetterTtlMs: 1e9 });
});
afterEach(async () => {
  await opened.close();
  await space.drop();
});

it('takes up the jobs of a lost worker though the reply of their recovery was lost', async () => {
  const { broker, inspector } = opened;
  await broker.enqueue([{ id: newId('work'), queue: 'work', priority: 5, envelope: '{"task":"unknown"}\n{}' }]);
  const lost = await broker.join({ name: 'lost', leaseMs: 60_000, info: {} });
  const request = { queues: ['work'], limit: 1, lane: 'usual', lowestFirst: false, idle: false, hand: 0 } as const;
  expect((await broker.exchange(lost, [], request)).claims).toHaveLength(1);
  await broker.leave(lost);
  let recovered = 0;
  const lossy = watched(broker, {
    recover: async (worker) => {
      recovered += (await broker.recover(worker)).length;
      throw new TaktlineError('BROKER_UNAVAILABLE', 'the reply was lost');
    },
  });
  const worker = new Worker(
    {
      name: 'heir',
      queues,
      pool: { kind: 'inline', size: 1, usedUp: undefined, maxTasksPerChild: undefined, maxMemoryPerChild: undefined },
      leaseMs: 60_000,
      shutdownGraceMs: 100,
      pollMs: 100,
      unknownTaskGraceMs: 60_000,
      ageing: true,
      payloadLimit: 1_024,
      known: queues,
      autoscale: undefined,
    },
    {
      broker: async () => lossy,
      tasks: new TaskRegistry(),
      logger: silentLogger,
      effects: new Effects('taktline_outbox'),
      shutDown: () => undefined,
      setUp: async () => undefined,
      tearDown: async () => undefined,
    },
  );
  await worker.start();
  await eventually(async () => recovered === 1, 'the claim has been handed over');
  // It goes back to its queue as a suspect, is run there, and waits since nobody knows its task.
  await eventually(async () => (await inspector.queues())[0]?.running === 0, 'the job is not held for good');
  await worker.stop({ now: true });
});
