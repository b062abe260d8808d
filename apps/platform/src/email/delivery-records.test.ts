import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPostgres, type TestPostgres } from '../../test/database.ts';
import type { PlatformDatabase } from '../database/database.ts';
import { type DeliveryClaim, DeliveryRecords, messageIdFor, type NewDelivery } from './delivery-records.ts';
import { EmailBatches } from './email-batches.ts';
import { Suppressions } from './suppressions.ts';

let postgres: TestPostgres;
let database: PlatformDatabase;
let records: DeliveryRecords;
beforeAll(async () => {
  postgres = await startPostgres();
  ({ database } = await postgres.newDatabase());
  records = new DeliveryRecords(database);
});
afterAll(async () => {
  await database.destroy();
  await postgres.stop();
});

let number = 0;
const delivery = (more: Partial<NewDelivery> = {}): NewDelivery => ({
  id: `record-${(number += 1)}`,
  kind: 'normal',
  template: 'welcome',
  recipient: 'ann@example.com',
  recipientName: 'Ann',
  context: { user_name: 'Ann', more: { b: 1, a: 2 } },
  messageDomain: 'taktline.example',
  ...more,
});
const alive = async () => true;
const dead = async () => false;

async function begin(mail: NewDelivery, job: string, isAlive = alive): Promise<DeliveryClaim> {
  const reply = await records.begin(mail, job, isAlive);
  if (reply.kind !== 'claimed') throw new Error(`not claimed: ${reply.kind}`);
  return reply.claim;
}

describe('DeliveryRecords', () => {
  it('makes the record at the first attempt and counts the others', async () => {
    const mail = delivery();
    expect((await begin(mail, 'job-1')).attempt).toBe(1);
    const second = await begin(mail, 'job-1');
    expect(second).toMatchObject({ attempt: 2, record: { status: 'sending', generation: 1, job_id: 'job-1', context: mail.context } });
  });

  it('gives one record to one of many jobs that come at once', async () => {
    const mail = delivery();
    const replies = await Promise.all(Array.from({ length: 10 }, (_, job) => records.begin(mail, `job-${job}`, alive)));
    expect(replies.filter((reply) => reply.kind === 'claimed')).toHaveLength(1);
    expect(replies.filter((reply) => reply.kind === 'elsewhere')).toHaveLength(9);
  });

  it('gives the record of a dead job to one of many that come at once', async () => {
    const mail = delivery();
    await begin(mail, 'dead');
    const replies = await Promise.all(
      Array.from({ length: 10 }, (_, job) => records.begin(mail, `job-${job}`, async (owner) => owner !== 'dead')),
    );
    expect(replies.filter((reply) => reply.kind === 'claimed')).toHaveLength(1);
    expect(await records.find(mail.id)).toMatchObject({ generation: 2, attempts: 2 });
  });

  it('hands out nothing once the mail is sent', async () => {
    const mail = delivery();
    await records.noteSent(await begin(mail, 'job-1'), { code: 250, text: '250 ok' });
    expect(await records.begin(mail, 'job-2', dead)).toMatchObject({
      kind: 'final',
      record: { status: 'sent', reply_code: 250, context: null },
    });
    expect((await records.find(mail.id))?.sent_at).toBeInstanceOf(Date);
  });

  it('tells another mail under the same id, and the same one with its keys in another order', async () => {
    const mail = delivery();
    await begin(mail, 'job-1');
    for (const change of [{ recipient: 'bob@example.com' }, { template: 'newsletter' }, { context: { user_name: 'Bob' } }]) {
      expect(await records.begin({ ...mail, ...change }, 'job-1', dead)).toEqual({ kind: 'conflict' });
    }
    expect((await records.begin({ ...mail, context: { more: { a: 2, b: 1 }, user_name: 'Ann' } }, 'job-1', alive)).kind).toBe('claimed');
  });

  it('takes no report from an attempt that is not the newest', async () => {
    const mail = delivery();
    const first = await begin(mail, 'job-1');
    const second = await begin(mail, 'job-1');
    expect(await records.report(first, { status: 'failed' })).toBe(false);
    expect(await records.report(second, { status: 'deferred', reply: { code: 451, text: '451 later' } })).toBe(true);
    expect(await records.report(second, { status: 'failed' })).toBe(false);
    expect(await records.find(mail.id)).toMatchObject({ status: 'deferred', reply_code: 451, reply_text: '451 later' });
  });

  it('believes an old attempt that the mail was sent, and lets no other report undo it', async () => {
    const mail = delivery();
    const first = await begin(mail, 'job-1');
    const second = await begin(mail, 'job-1');
    await records.noteSent(first, { code: 250, text: 'ok' });
    expect(await records.report(second, { status: 'deferred' })).toBe(false);
    expect(await records.find(mail.id)).toMatchObject({ status: 'sent' });
  });

  it('leaves a record alone that was noted late', async () => {
    const mail = delivery();
    const claim = await begin(mail, 'job-1');
    expect(await records.noteQueued(mail, 'job-1')).toBe(false);
    expect(await records.find(mail.id)).toMatchObject({ status: 'sending', attempts: claim.attempt });
  });

  it('hands over only what has not moved', async () => {
    const mail = delivery();
    await begin(mail, 'job-1');
    const seen = await records.find(mail.id);
    if (seen === undefined) throw new Error('no record');
    await begin(mail, 'job-1');
    expect(await records.handOver(seen, 'job-2')).toBe(false);
    const now = await records.find(mail.id);
    const won = await Promise.all([records.handOver(now ?? seen, 'job-2'), records.handOver(now ?? seen, 'job-3')]);
    expect(won.filter(Boolean)).toHaveLength(1);
    expect(await records.find(mail.id)).toMatchObject({ status: 'queued', generation: 2 });
    expect(await records.close(seen, 'gone')).toBe(false);
  });

  it('pages through what is open, and leaves out what no job will send', async () => {
    const { database: own } = await postgres.newDatabase();
    try {
      const ownRecords = new DeliveryRecords(own);
      const mails = Array.from({ length: 7 }, (_, place) => delivery({ id: `open-${place}` }));
      for (const mail of mails) await ownRecords.noteQueued(mail, 'job');
      const [sent, closed] = await Promise.all(['open-0', 'open-1'].map((id) => ownRecords.begin(delivery({ id }), 'job', alive)));
      if (sent?.kind !== 'claimed' || closed?.kind !== 'claimed') throw new Error('not claimed');
      await ownRecords.noteSent(sent.claim, { code: 250, text: '' });
      await ownRecords.report(closed.claim, { status: 'failed', mayRetry: false });
      const first = await ownRecords.open('', 3);
      const second = await ownRecords.open(first.at(-1)?.id ?? '', 3);
      expect([...first, ...second].map((record) => record.id)).toEqual(['open-2', 'open-3', 'open-4', 'open-5', 'open-6']);
    } finally {
      await own.destroy();
    }
  });

  it('makes Message-IDs that are stable and say nothing', () => {
    expect(messageIdFor('ann@example.com', 'taktline.example')).toMatch(/^<[0-9a-f]{40}@taktline\.example>$/);
    expect(messageIdFor('a', 'x.example')).toBe(messageIdFor('a', 'x.example'));
    expect(messageIdFor('a', 'x.example')).not.toBe(messageIdFor('b', 'x.example'));
  });
});

describe('EmailBatches', () => {
  it('gives everybody one record, whoever is bad or listed twice', async () => {
    const batches = new EmailBatches(database);
    const batch = {
      bulkId: 'campaign',
      position: 0,
      template: 'newsletter',
      context: { month: 'May' },
      messageDomain: 'taktline.example',
      recipients: [
        { to: 'ann@example.com', name: 'Ann' },
        { to: 'ANN@Example.com' },
        { to: 'not an address\0' },
        { to: 'eve@example.com', name: 'Eve\r\nBcc: x' },
        { id: 'b', to: 'bob@example.com', context: { intro: 'Hi' } },
      ],
    };
    expect(await batches.store(batch)).toEqual({ id: 'campaign:0', invalid: 2, repeated: 1 });
    expect(await batches.store(batch)).toEqual({ id: 'campaign:0', invalid: 2, repeated: 1 });
    expect(await batches.counts('campaign:0')).toEqual({ queued: 2, failed: 2 });
    expect(await batches.openRecords('campaign:0')).toHaveLength(2);
    expect(await records.find('campaign:b')).toMatchObject({ kind: 'bulk', job_id: 'email-batch:campaign:0:1', context: { intro: 'Hi' } });
    expect(await batches.store({ ...batch, position: 1, recipients: [{ to: 'ann@example.com' }] })).toMatchObject({ repeated: 1 });
  });
});

describe('Suppressions', () => {
  it('holds back all mail to a mailbox that does not exist, and bulk mail from who unsubscribed', async () => {
    const suppressions = new Suppressions(database);
    expect(await suppressions.reasonFor('gone@example.com', true)).toBeUndefined();
    await suppressions.add('Gone@EXAMPLE.com', 'unsubscribe');
    await suppressions.add('gone@example.com', 'unsubscribe');
    expect(await suppressions.reasonFor('GONE@example.com', true)).toBe('unsubscribe');
    expect(await suppressions.reasonFor('gone@example.com', false)).toBeUndefined();
    await suppressions.add('gone@example.com', 'bounce');
    expect(await suppressions.reasonFor('gone@example.com', false)).toBe('bounce');
    expect(await suppressions.remove('gone@example.com')).toBe(true);
    expect(await suppressions.reasonFor('gone@example.com', true)).toBeUndefined();
    expect(await suppressions.remove('gone@example.com')).toBe(false);
  });
});
