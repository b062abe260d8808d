import { describe, expect, it } from 'vitest';
import { queueNames, queues } from './queues.ts';

describe('queues', () => {
  it('are the fifteen of the specification, with their priorities', () => {
    const byPriority = (priority: number) => queues.filter((queue) => queue.priority === priority).map((queue) => queue.name);
    expect(byPriority(10)).toEqual(['payment.critical', 'order.critical', 'monitoring.critical']);
    expect(byPriority(9)).toEqual(['email.urgent']);
    expect(byPriority(7)).toEqual(['analytics.realtime']);
    expect(byPriority(6)).toEqual(['payment.normal', 'order.normal']);
    expect(byPriority(5)).toEqual(['email.normal', 'sync.normal', 'monitoring.normal']);
    expect(byPriority(4)).toEqual(['email.bulk']);
    expect(byPriority(3)).toEqual(['payment.batch', 'analytics.batch']);
    expect(byPriority(2)).toEqual(['sync.maintenance']);
    expect(byPriority(1)).toEqual(['sync.backup']);
    expect(new Set(queueNames).size).toBe(15);
  });
});
