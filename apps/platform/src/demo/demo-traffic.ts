/**
 * A small stream of sample mail, so that a first start shows work at once: all templates, urgent and bulk mail, and now
 * and then an address that the local mailbox refuses for now or for good, which ends in a retry and in a dead letter.
 */
import { randomUUID } from 'node:crypto';
import type { EmailTasks } from '../email/email-tasks.ts';
import { greylistedDomain, refusedDomain } from '../mailbox/mailbox-rules.ts';

export interface DemoTraffic {
  /** Sends no more; resolves when what is being enqueued has been. */
  stop(): Promise<void>;
}

export interface DemoOptions {
  readonly tasks: Pick<EmailTasks, 'sendEmail' | 'sendUrgent' | 'sendBulk'>;
  /** Told when a mail could not be enqueued; the stream goes on. */
  readonly onError: (error: unknown) => void;
  /** Default 5 s. */
  readonly periodMs?: number;
  /** Mails in all: a process that is forgotten does not fill the disk. Default 1,000. */
  readonly limit?: number;
}

const people = ['Ann Baker', 'Björn Dahl', 'Chidi Eze', 'Dana Frank', 'Emil Gruber', 'Fumiko Hara'];
const statuses = ['received', 'in_production', 'quality_check', 'shipped', 'delivered'];

/** Starts the stream; the first mail goes at once. */
export function startDemoTraffic({ tasks, onError, periodMs = 5_000, limit = 1_000 }: DemoOptions): DemoTraffic {
  let count = 0;
  let current: Promise<unknown> = Promise.resolve();
  const next = () => {
    current = sample(tasks, count).catch(onError);
    count += 1;
    if (count >= limit) clearInterval(timer);
  };
  const timer = setInterval(next, periodMs);
  next();
  return {
    async stop() {
      clearInterval(timer);
      await current;
    },
  };
}

/** Sends sample number `count`. Its kind follows from the number; every mail has a record of its own. */
async function sample(tasks: DemoOptions['tasks'], count: number): Promise<unknown> {
  const id = `demo-${randomUUID()}`;
  const name = people[count % people.length] ?? 'Ann Baker';
  const mailbox = `${(name.split(' ')[0] ?? 'ann').toLowerCase().replace('ö', 'oe')}.${count}`;
  const to = `${mailbox}@customer.example`;
  const order = {
    order_id: 1_000 + count,
    status: statuses[count % statuses.length] ?? 'received',
    user_name: name,
    note: 'This is sample mail. Start with DEMO=off to have none.',
  };
  switch (count % 12) {
    case 3:
      return tasks.sendEmail.delay({ email: { id, to: `${mailbox}@${greylistedDomain}`, name }, template: 'order_status', context: order });
    case 5:
      return tasks.sendUrgent.delay({
        email: { id, to: 'duty@plant.example' },
        template: 'system_alert',
        context: { alert_type: 'temperature_high', source: 'press-4', message: 'Press 4 reports 92 °C; the limit is 85 °C.' },
      });
    case 7:
      return tasks.sendEmail.delay({
        email: { id, to: `${mailbox}@${refusedDomain}`, name },
        template: 'welcome',
        context: { user_name: name },
      });
    case 10:
      return tasks.sendBulk.delay({
        id,
        emails: people.slice(0, 3).map((person, place) => ({ to: `reader${place}.${count}@customer.example`, name: person })),
        template: 'newsletter',
        context: {
          month: 'December',
          intro: 'three new machines have arrived.',
          articles: [{ title: 'A new laser cutter', text: 'It cuts steel of up to 25 mm.' }],
        },
      });
    case 0:
    case 8:
      return tasks.sendEmail.delay({ email: { id, to, name }, template: 'welcome', context: { user_name: name } });
    default:
      return tasks.sendEmail.delay({ email: { id, to, name }, template: 'order_status', context: order });
  }
}
