import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { TaktlineError } from 'taktline';
import { joinEmbedded } from 'taktline/embedded';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startPostgres, type TestPostgres } from '../../test/database.ts';
import { patience } from '../../test/patience.ts';
import { links, startTestPlatform, type TestPlatform, type TestPlatformOptions } from '../../test/platform.ts';
import { openDatabase } from '../database/database.ts';
import { migrate } from '../database/migrate.ts';
import type { SendEmailInput } from './email-input.ts';

let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.stop());

let platform: TestPlatform;
async function start(options: TestPlatformOptions = {}): Promise<TestPlatform> {
  platform = await startTestPlatform(postgres, options);
  return platform;
}
afterEach(async () => {
  await platform.stop();
  // Whatever a test did: nobody's address or name is in the log.
  expect(platform.lines.join('\n')).not.toMatch(/ann@example|bob@example|Ann Baker/);
});

const email = (id: string, to = 'ann@example.com'): SendEmailInput => ({
  email: { id, to, name: 'Ann Baker' },
  template: 'welcome',
  context: { user_name: 'Ann Baker' },
});

/** The error that a job died of. */
async function deathOf(result: Promise<unknown>): Promise<Error> {
  const error = await result.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof TaktlineError) || error.code !== 'JOB_FAILED') throw new Error(`the job did not fail: ${String(error)}`);
  return error.cause as Error;
}

/** A promise and the function that settles it. */
function gate<Value = void>() {
  let open: (value: Value) => void = () => {};
  const opened = new Promise<Value>((resolve) => {
    open = resolve;
  });
  return { open, opened };
}

describe('while the database is away', () => {
  it('a mail waits for it, however many attempts that takes, and is sent once', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'taktline-away-'));
    const startServer = () => joinEmbedded(folder, { database: 'platform' });
    let server = await startServer();
    const database = openDatabase({ url: () => server.url });
    try {
      await migrate(database);
      const { app, tasks, smtp, startWorker } = await start({ deps: { database } });
      await server.leave();
      await startWorker();
      const one = await tasks.sendEmail.delay(email('away_1'));
      const many = await tasks.sendBulk.delay({
        id: 'away',
        emails: [{ to: 'bob@example.com', name: 'Bob' }],
        template: 'newsletter',
        context: { month: 'December' },
      });
      for (const { id } of [one, many]) {
        const waits = async () => (await app.inspector.job(id))?.deferrals;
        await expect.poll(waits, patience).toBeGreaterThan(5);
      }
      server = await startServer();
      expect(await one.result()).toMatchObject({ record: 'away_1', status: 'sent' });
      expect(await many.result()).toMatchObject({ recipients: 1 });
      await expect.poll(() => smtp.mails.map(({ to }) => to).toSorted(), patience).toEqual([['ann@example.com'], ['bob@example.com']]);
    } finally {
      await database.destroy();
      await server.leave();
      await rm(folder, { recursive: true, force: true });
    }
  });
});

describe('email.send', () => {
  it('delivers, notes it, and returns what was noted', async () => {
    const { tasks, smtp, startWorker } = await start();
    await startWorker();
    const handle = await tasks.sendEmail.delay({
      email: { id: 'email_123', to: 'user@example.com', name: 'User Name' },
      template: 'welcome',
      context: { user_name: 'User Name' },
    });
    const result = await handle.result();
    expect(result).toEqual({
      record: 'email_123',
      status: 'sent',
      messageId: expect.stringMatching(/^<.*@taktline\.example>$/),
      replyCode: 250,
    });
    expect(smtp.mails).toHaveLength(1);
    expect(smtp.mails[0]).toMatchObject({
      to: ['user@example.com'],
      parsed: { subject: 'Welcome to Taktline, User Name', messageId: result.messageId },
    });
    expect(await tasks.records.find('email_123')).toMatchObject({
      status: 'sent',
      kind: 'normal',
      attempts: 1,
      job_id: handle.id,
      message_id: result.messageId,
      reply_code: 250,
      context: null,
    });
  });

  it('sends a record once, however often it is asked for', async () => {
    const { tasks, smtp, startWorker } = await start();
    await startWorker();
    const first = await (await tasks.sendEmail.delay(email('once'))).result();
    const again = await Promise.all([tasks.sendEmail.delay(email('once')), tasks.sendUrgent.delay(email('once'))]);
    for (const handle of again) expect(await handle.result()).toEqual(first);
    expect(smtp.mails).toHaveLength(1);
  });

  it('lets one of two jobs send a record while the other waits', async () => {
    const arrived = gate();
    const answer = gate();
    const { app, tasks, smtp, startWorker } = await start({
      smtp: {
        data: async () => {
          arrived.open();
          await answer.opened;
          return undefined;
        },
      },
    });
    await startWorker();
    const first = await tasks.sendEmail.delay(email('shared'));
    await arrived.opened;
    const second = await tasks.sendEmail.delay(email('shared'));
    await expect.poll(async () => (await app.inspector.job(second.id))?.deferrals, patience).toBe(1);
    answer.open();
    expect(await first.result()).toMatchObject({ status: 'sent' });
    expect(smtp.mails).toHaveLength(1);
  });

  it('refuses another mail under the id of a record', async () => {
    const { tasks, smtp, startWorker } = await start();
    await startWorker();
    await (await tasks.sendEmail.delay(email('taken'))).result();
    expect((await deathOf((await tasks.sendEmail.delay(email('taken', 'bob@example.com'))).result())).message).toContain(
      'stands for another one',
    );
    expect(smtp.mails).toHaveLength(1);
  });

  it('comes back after 4xx, with the same Message-ID', async () => {
    const answers = ['451 4.7.1 greylisted', '450 busy'];
    const { tasks, smtp, startWorker } = await start({ smtp: { rcpt: () => answers.shift() } });
    await startWorker();
    const result = await (await tasks.sendEmail.delay(email('later'))).result();
    expect(await tasks.records.find('later')).toMatchObject({ status: 'sent', attempts: 3 });
    expect(smtp.mails.map((mail) => mail.parsed.messageId)).toEqual([result.messageId]);
  });

  it('shows a mail as deferred between two attempts', async () => {
    const { tasks, startWorker } = await start({ smtp: { rcpt: () => '451 4.7.1 <ann@example.com> later' }, deps: { retryInitial: '1h' } });
    await startWorker();
    const handle = await tasks.sendEmail.delay(email('deferred'));
    await expect.poll(() => handle.status(), patience).toBe('retrying');
    expect(await tasks.records.find('deferred')).toMatchObject({
      status: 'deferred',
      reply_code: 451,
      reply_text: '451 4.7.1 <address> later',
    });
  });

  it('dies after five attempts, and no address is in the dead letter', async () => {
    const { app, tasks, startWorker } = await start({ smtp: { rcpt: () => '451 4.7.1 ann@example.com: later' } });
    await startWorker();
    const handle = await tasks.sendEmail.delay(email('never'));
    expect(await deathOf(handle.result())).toMatchObject({
      name: 'EmailDeferredError',
      message: 'the mail server asked to come back later (451 4.7.1)',
    });
    expect(await tasks.records.find('never')).toMatchObject({ status: 'failed', attempts: 5 });
    const [letter] = (await app.inspector.deadLetters.list({ task: 'email.send' })).items;
    expect(letter).toMatchObject({ id: handle.id });
    expect(letter?.attempts).toHaveLength(5);
    expect(JSON.stringify(letter)).not.toMatch(/ann@|Ann Baker/);
  });

  it('gives up at once after 5xx, and sends the address nothing more', async () => {
    const asked: string[] = [];
    const { tasks, startWorker } = await start({
      smtp: {
        rcpt: (address) => {
          asked.push(address);
          return '550 5.1.1 no such user';
        },
      },
    });
    await startWorker();
    const handle = await tasks.sendEmail.delay(email('bounce'));
    expect(await deathOf(handle.result())).toMatchObject({
      name: 'PermanentError',
      message: 'the mail server refused the mail for good (550 5.1.1)',
    });
    expect(await tasks.records.find('bounce')).toMatchObject({ status: 'bounced', attempts: 1, reply_code: 550, context: null });
    expect(await (await tasks.sendUrgent.delay(email('next', 'ANN@example.com'))).result()).toMatchObject({
      status: 'suppressed',
      replyCode: null,
    });
    expect(asked).toEqual(['ann@example.com']);
    await expect((await tasks.sendEmail.delay(email('bounce'))).result()).rejects.toMatchObject({ code: 'JOB_FAILED' });
    expect(asked).toHaveLength(1);
  });

  it('suppresses nobody for a refusal that is not about the mailbox', async () => {
    const { tasks, startWorker } = await start({ smtp: { data: () => '554 5.7.1 spam' } });
    await startWorker();
    await deathOf((await tasks.sendEmail.delay(email('spam'))).result());
    expect(await tasks.suppressions.reasonFor('ann@example.com', true)).toBeUndefined();
  });

  it('sends to people who unsubscribed from newsletters', async () => {
    const { tasks, startWorker } = await start();
    await startWorker();
    await tasks.suppressions.add('ann@example.com', 'unsubscribe');
    expect(await (await tasks.sendEmail.delay(email('order'))).result()).toMatchObject({ status: 'sent' });
  });

  it('dies at once when the context does not fit, naming the variable', async () => {
    const { tasks, smtp, startWorker } = await start();
    await startWorker();
    const handle = await tasks.sendEmail.delay({ ...email('blank'), context: { name: 'Ann Baker' } });
    const death = await deathOf(handle.result());
    expect(death).toMatchObject({ name: 'PermanentError', message: 'the context does not fit template "welcome": "user_name" is missing' });
    expect(smtp.connections()).toBe(0);
    expect(await tasks.records.find('blank')).toMatchObject({ status: 'failed', attempts: 1, job_id: null });
  });

  it.each([
    { ...email('x'), template: 'constructor' },
    { ...email('x'), template: '../welcome' },
    { ...email('x'), email: { id: 'x', to: 'ann@example.com\r\nBcc: bob@example.com' } },
    { ...email('x'), email: { id: 'x', to: 'ann@example.com', name: 'Ann Baker\r\nBcc: bob@example.com' } },
    { ...email('x'), context: { user_name: 'a\0b' } },
  ])('enqueues nothing that is not valid: %#', async (input) => {
    const { tasks } = await start();
    const error: unknown = await tasks.sendEmail.delay(input as SendEmailInput).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'INVALID_INPUT' });
    expect(String(error)).not.toMatch(/ann@|Ann Baker/);
  });

  it('stops when it is cancelled, and is not sent by others', async () => {
    const arrived = gate();
    const { tasks, startWorker } = await start({
      smtp: {
        data: () => {
          arrived.open();
          return new Promise(() => {});
        },
      },
    });
    await startWorker();
    const handle = await tasks.sendEmail.delay(email('cancelled'));
    await arrived.opened;
    await handle.cancel();
    await expect(handle.result()).rejects.toMatchObject({ code: 'JOB_CANCELLED' });
    expect(await tasks.records.find('cancelled')).toMatchObject({ status: 'failed', job_id: null, reply_text: 'the job was cancelled' });
  });

  it('goes back to its queue when the worker stops, and is sent by the next', async () => {
    const arrived = gate();
    let silent = true;
    const { tasks, smtp, startWorker } = await start({
      smtp: {
        data: () => {
          arrived.open();
          return silent ? new Promise<undefined>(() => {}) : undefined;
        },
      },
    });
    const worker = await startWorker();
    const handle = await tasks.sendEmail.delay(email('moved'));
    await arrived.opened;
    await worker.stop({ now: true });
    expect(await tasks.records.find('moved')).toMatchObject({ status: 'queued', attempts: 1 });
    silent = false;
    await startWorker();
    expect(await handle.result()).toMatchObject({ status: 'sent' });
    expect(smtp.mails).toHaveLength(1);
  });

  it('does not send twice when the database is away just after the mail was taken', async () => {
    const { tasks, smtp, database, startWorker } = await start({
      smtp: {
        data: async () => {
          await sql`alter table platform.email_deliveries rename to away`.execute(database);
          setTimeout(() => void sql`alter table platform.away rename to email_deliveries`.execute(database), 300);
          return undefined;
        },
      },
    });
    await startWorker();
    expect(await (await tasks.sendEmail.delay(email('shaky'))).result()).toMatchObject({ status: 'sent' });
    expect(await tasks.records.find('shaky')).toMatchObject({ status: 'sent', attempts: 1 });
    expect(smtp.mails).toHaveLength(1);
  });
});

describe('enqueueRecord', () => {
  it('shows the mail as queued at once, and makes one job of two calls', async () => {
    const { app, tasks, smtp, startWorker } = await start();
    const handles = await Promise.all([tasks.enqueueRecord(email('noted')), tasks.enqueueRecord(email('noted'))]);
    expect(handles.map((handle) => handle.id)).toEqual(['email:noted:1', 'email:noted:1']);
    expect(await tasks.records.find('noted')).toMatchObject({ status: 'queued', job_id: 'email:noted:1', attempts: 0, kind: 'normal' });
    await expect(tasks.enqueueRecord(email('noted', 'bob@example.com'))).rejects.toMatchObject({ code: 'ID_CONFLICT' });
    await tasks.enqueueRecord(email('noted-urgent'), { urgent: true });
    expect(await app.inspector.job('email:noted-urgent:1')).toMatchObject({ queue: 'email.urgent' });
    expect(await tasks.records.find('noted-urgent')).toMatchObject({ kind: 'urgent' });
    await startWorker();
    expect(await handles[0]?.result()).toMatchObject({ status: 'sent' });
    expect(await tasks.records.find('noted')).toMatchObject({ status: 'sent', attempts: 1, generation: 1 });
    await app.handle('email:noted-urgent:1').result();
    expect(smtp.mails).toHaveLength(2);
  });

  it('enqueues the mail also when it cannot be noted', async () => {
    const { tasks, database, lines, startWorker } = await start();
    await sql`alter table platform.email_deliveries rename to away`.execute(database);
    const handle = await tasks.enqueueRecord(email('unnoted'));
    expect(lines.join()).toContain('could not be noted');
    await sql`alter table platform.away rename to email_deliveries`.execute(database);
    await startWorker();
    expect(await handle.result()).toMatchObject({ status: 'sent' });
  });
});

describe('email.sendUrgent', () => {
  it('waits in the queue email.urgent', async () => {
    const { app, tasks } = await start();
    const handle = await tasks.sendUrgent.delay({
      email: { id: 'urgent_email_123', to: 'admin@example.com' },
      template: 'system_alert',
      context: { alert_type: 'critical_error' },
    });
    expect(await app.inspector.job(handle.id)).toMatchObject({ queue: 'email.urgent', task: 'email.sendUrgent' });
  });
});

describe('email.sendBulk', () => {
  const reader = (number: number) => ({ to: `reader${number}@example.com`, name: `Reader ${number}` });
  const list = (length: number) => Array.from({ length }, (_, number) => reader(number));
  /** Waits until the jobs of all batches have ended. */
  const settled = (batches: number, bulk: string) =>
    expect
      .poll(async () => {
        const states = await Promise.all(
          Array.from({ length: batches }, (_, batch) => platform.app.handle(`email-batch:${bulk}:${batch}:1`).status()),
        );
        return states.every((state) => state === 'succeeded' || state === 'failed');
      }, patience)
      .toBe(true);
  const statuses = async (bulk: string) => {
    const rows = await platform.database
      .selectFrom('email_deliveries')
      .select(({ fn }) => ['status', fn.countAll<string>().as('count')])
      .where('id', 'like', `${bulk}:%`)
      .groupBy('status')
      .execute();
    return Object.fromEntries(rows.map((row) => [row.status, Number(row.count)]));
  };

  it('sends everybody one mail, over one connection a batch, with a way to unsubscribe', async () => {
    const { tasks, smtp, startWorker } = await start({ deps: { batchSize: 10 } });
    await startWorker();
    const handle = await tasks.sendBulk.delay({ id: 'december', emails: list(25), template: 'newsletter', context: { month: 'December' } });
    expect(await handle.result()).toEqual({ bulk: 'december', recipients: 25, batches: 3, invalid: 0, repeated: 0 });
    await settled(3, 'december');
    expect(await statuses('december')).toEqual({ sent: 25 });
    expect(new Set(smtp.mails.map((mail) => mail.to[0])).size).toBe(25);
    expect(smtp.mails).toHaveLength(25);
    expect(smtp.connections()).toBe(3);
    expect(smtp.mails.find((mail) => mail.to[0] === 'reader7@example.com')?.parsed.text).toContain('Hello Reader 7');

    for (const mail of smtp.mails) {
      const header = /^List-Unsubscribe: <(.*)>\r$/m.exec(mail.raw)?.[1] ?? '';
      const { searchParams } = new URL(header);
      const record = links.subjectOf(searchParams.get('mail') ?? '', searchParams.get('signature') ?? '') ?? '';
      expect((await tasks.records.find(record))?.recipient).toBe(mail.to[0]);
      expect(mail.raw).toMatch(/^List-Unsubscribe-Post: List-Unsubscribe=One-Click\r$/m);
    }
  });

  it('lets nobody suffer for a bad address, a refusal or a repetition', async () => {
    const { tasks, smtp, startWorker } = await start({
      smtp: { rcpt: (address) => (address === 'gone@example.com' ? '550 5.1.1 no' : undefined) },
    });
    await startWorker();
    await tasks.suppressions.add('quiet@example.com', 'unsubscribe');
    const emails = [
      ...list(3),
      { to: 'nonsense' },
      { to: 'eve@example.com', name: 'Eve\r\nBcc: bob@example.com' },
      { to: 'quiet@example.com' },
      { to: 'gone@example.com' },
      { to: 'Reader1@EXAMPLE.com' },
      { to: 'blank@example.com', context: { month: '' } },
    ];
    const handle = await tasks.sendBulk.delay({ id: 'mixed', emails, template: 'newsletter', context: { month: 'May' } });
    expect(await handle.result()).toMatchObject({ recipients: 9, batches: 1, invalid: 2, repeated: 1 });
    await settled(1, 'mixed');
    expect(await statuses('mixed')).toEqual({ sent: 3, failed: 3, suppressed: 1, bounced: 1 });
    expect(smtp.mails.map((mail) => mail.to[0]).toSorted()).toEqual(['reader0@example.com', 'reader1@example.com', 'reader2@example.com']);
    expect(await tasks.suppressions.reasonFor('gone@example.com', false)).toBe('bounce');
  });

  it('reaches everybody once when the same list is sent again', async () => {
    const { tasks, smtp, startWorker } = await start({ deps: { batchSize: 4 } });
    await startWorker();
    const campaign = { id: 'twice', emails: list(10), template: 'newsletter' as const, context: { month: 'May' } };
    const jobs = await Promise.all([tasks.sendBulk.delay(campaign), tasks.sendBulk.delay(campaign)]);
    for (const job of jobs) expect(await job.result()).toMatchObject({ batches: 3 });
    await settled(3, 'twice');
    expect(smtp.mails).toHaveLength(10);
  });

  it('comes back for those who were refused for now, and for nobody else', async () => {
    let refuse = true;
    const { tasks, smtp, startWorker } = await start({
      smtp: {
        rcpt: (address) => {
          if (!refuse || address !== 'reader1@example.com') return undefined;
          refuse = false;
          return '451 later';
        },
      },
    });
    await startWorker();
    await tasks.sendBulk.delay({ id: 'some', emails: list(4), template: 'newsletter', context: { month: 'May' } });
    await settled(1, 'some');
    expect(await statuses('some')).toEqual({ sent: 4 });
    expect(smtp.mails).toHaveLength(4);
    expect(smtp.mails.at(-1)?.to).toEqual(['reader1@example.com']);
  });

  it('leaves a batch when the mail server goes away, and goes on where it was', async () => {
    let taken = 0;
    const { app, tasks, smtp, startWorker } = await start({
      smtp: {
        // The connection that stands is given up for a new one at once; that one is turned away as well.
        rcpt: () => {
          taken += 1;
          return taken === 3 || taken === 4 ? '421 going down' : undefined;
        },
      },
    });
    await startWorker();
    await tasks.sendBulk.delay({ id: 'cut', emails: list(6), template: 'newsletter', context: { month: 'May' } });
    await settled(1, 'cut');
    expect(await statuses('cut')).toEqual({ sent: 6 });
    expect(smtp.mails).toHaveLength(6);
    expect((await app.inspector.job('email-batch:cut:0:1'))?.failures).toBe(1);
    // Nobody was tried while the server was away: the mails came in the batch's own order.
    const inOrder = await platform.database.selectFrom('email_deliveries').select('recipient').orderBy('id').execute();
    expect(smtp.mails.map((mail) => mail.to[0])).toEqual(inOrder.map((record) => record.recipient));
  });

  it('says so once when the context fits nobody', async () => {
    const { tasks, smtp, startWorker } = await start();
    await startWorker();
    const death = await deathOf((await tasks.sendBulk.delay({ id: 'empty', emails: list(3), template: 'newsletter' })).result());
    expect(death.message).toBe('the context does not fit template "newsletter": "month" is missing');
    expect(await statuses('empty')).toEqual({});
    expect(smtp.connections()).toBe(0);
  });

  it('takes a list of any length, in parts that make one campaign', async () => {
    const { app, tasks, startWorker } = await start();
    async function* readers() {
      for (let number = 0; number < 1_203; number += 1) yield reader(number % 1_200);
    }
    const campaign = { id: 'long', template: 'newsletter', context: { month: 'May' } } as const;
    const handles = await tasks.enqueueBulk({ ...campaign, emails: readers() });
    expect(handles.map((handle) => handle.id)).toEqual(['email-bulk:long:0', 'email-bulk:long:1']);
    expect(await tasks.enqueueBulk({ ...campaign, emails: readers() })).toHaveLength(2);
    expect(await app.inspector.jobs('queued')).toHaveLength(2);
    await startWorker();
    expect(await Promise.all(handles.map((handle) => handle.result()))).toMatchObject([
      { recipients: 1_000, repeated: 0 },
      { recipients: 203, repeated: 3 },
    ]);
    expect(Object.values(await statuses('long')).reduce((sum, count) => sum + count, 0)).toBe(1_200);
  });
});

describe('email.retryFailed', () => {
  it('gives the record of a dead job to a new one, and keeps the old one from sending', async () => {
    let mended = false;
    const { app, tasks, smtp, startWorker } = await start({ smtp: { rcpt: () => (mended ? undefined : '451 later') } });
    await startWorker();
    const old = await tasks.sendEmail.delay(email('again'));
    await deathOf(old.result());
    mended = true;
    const runs = await Promise.all([tasks.retryFailed.delay({}), tasks.retryFailed.delay({})]);
    const results = await Promise.all(runs.map((run) => run.result()));
    expect(results.reduce((sum, result) => sum + result.retried, 0)).toBe(1);
    expect(await app.handle('email:again:2').result()).toMatchObject({ status: 'sent' });
    expect(await tasks.records.find('again')).toMatchObject({ status: 'sent', generation: 2, job_id: 'email:again:2' });

    expect(await app.inspector.deadLetters.redrive({ ids: [old.id] })).toBe(1);
    expect(await old.result()).toMatchObject({ status: 'sent' });
    expect(smtp.mails).toHaveLength(1);
  });

  it('keeps the old job from sending while the new one is at it', async () => {
    const arrived = gate();
    const answer = gate();
    let mended = false;
    const { app, tasks, smtp, startWorker } = await start({
      smtp: {
        rcpt: () => (mended ? undefined : '451 later'),
        data: async () => {
          arrived.open();
          await answer.opened;
          return undefined;
        },
      },
    });
    await startWorker();
    const old = await tasks.sendEmail.delay(email('race'));
    await deathOf(old.result());
    mended = true;
    await (await tasks.retryFailed.delay({})).result();
    await arrived.opened;
    await app.inspector.deadLetters.redrive({ ids: [old.id] });
    await expect.poll(async () => (await app.inspector.job(old.id))?.deferrals, patience).toBe(1);
    answer.open();
    expect(await app.handle('email:race:2').result()).toMatchObject({ status: 'sent' });
    expect(smtp.mails).toHaveLength(1);
  });

  it('leaves alone what is still on its way, sent, bounced or impossible', async () => {
    const { tasks, startWorker } = await start({
      smtp: { rcpt: (address) => ({ 'wait@example.com': '451 later', 'gone@example.com': '550 no' })[address] },
      deps: { retryInitial: '1h' },
    });
    await startWorker();
    const waiting = await tasks.sendEmail.delay(email('waiting', 'wait@example.com'));
    await (await tasks.sendEmail.delay(email('fine'))).result();
    await deathOf((await tasks.sendEmail.delay(email('gone', 'gone@example.com'))).result());
    await deathOf((await tasks.sendEmail.delay({ ...email('blank'), context: {} })).result());
    await expect.poll(() => waiting.status(), patience).toBe('retrying');
    expect(await (await tasks.retryFailed.delay({})).result()).toEqual({ retried: 0, closed: 0, exhausted: 0 });
  });

  it('keeps the queue, the limit and the number of generations', async () => {
    const { app, tasks, database, startWorker } = await start({ smtp: { rcpt: () => '451 later' } });
    await startWorker();
    for (const id of ['a', 'b', 'c']) await deathOf((await tasks.sendUrgent.delay(email(id))).result());
    await database.updateTable('email_deliveries').set({ generation: 5 }).where('id', '=', 'c').execute();
    expect(await (await tasks.retryFailed.delay({ limit: 1 })).result()).toEqual({ retried: 1, closed: 0, exhausted: 0 });
    await deathOf(app.handle('email:a:2').result());
    expect((await app.inspector.deadLetters.show('email:a:2'))?.queue).toBe('email.urgent');
    expect(await (await tasks.retryFailed.delay({})).result()).toEqual({ retried: 2, closed: 0, exhausted: 1 });
  });

  it('closes the books on jobs that a person cancelled or discarded', async () => {
    const { app, tasks, startWorker } = await start({ smtp: { rcpt: () => '451 later' } });
    const cancelled = await tasks.sendEmail.delay(email('cancelled'));
    await tasks.records.noteQueued(
      {
        id: 'cancelled',
        kind: 'normal',
        template: 'welcome',
        recipient: 'ann@example.com',
        recipientName: '',
        context: {},
        messageDomain: 'x.example',
      },
      cancelled.id,
    );
    await cancelled.cancel();
    await startWorker();
    const discarded = await tasks.sendEmail.delay(email('discarded'));
    await deathOf(discarded.result());
    await app.inspector.deadLetters.discard({ ids: [discarded.id] });
    expect(await (await tasks.retryFailed.delay({})).result()).toEqual({ retried: 0, closed: 2, exhausted: 0 });
    for (const id of ['cancelled', 'discarded']) expect(await tasks.records.find(id)).toMatchObject({ status: 'failed', job_id: null });
    expect(await (await tasks.retryFailed.delay({})).result()).toEqual({ retried: 0, closed: 0, exhausted: 0 });
  });

  it('closes the books on jobs that a person purged, instead of making them again', async () => {
    const { app, tasks, smtp, startWorker } = await start();
    // One whose job retryFailed would enqueue just so, and one whose job had another input.
    for (const [id, name] of [['purged', 'Ann Baker'] as const, ['other', undefined] as const]) {
      const { email: to, template, context } = email(id);
      const job = await tasks.sendEmail.applyAsync(
        { email: { id, to: to.to, ...(name === undefined ? {} : { name }) }, template, context },
        { id: `email:${id}:1` },
      );
      await tasks.records.noteQueued(
        { id, kind: 'normal', template, recipient: to.to, recipientName: name ?? '', context, messageDomain: 'x.example' },
        job.id,
      );
    }
    expect(await app.inspector.purge('email.normal')).toBe(2);
    await startWorker();
    expect(await (await tasks.retryFailed.delay({})).result()).toEqual({ retried: 0, closed: 2, exhausted: 0 });
    expect(smtp.mails).toHaveLength(0);
  });

  it('enqueues what was noted, but never enqueued because of a crash', async () => {
    const { app, tasks, smtp, startWorker } = await start();
    const { email: to, template, context } = email('crashed');
    await tasks.records.noteQueued(
      { id: to.id, kind: 'normal', template, recipient: to.to, recipientName: to.name ?? '', context, messageDomain: 'taktline.example' },
      'email:crashed:2',
    );
    await startWorker();
    await (await tasks.retryFailed.delay({})).result();
    expect(await app.handle('email:crashed:2').result()).toMatchObject({ status: 'sent' });
    expect(smtp.mails).toHaveLength(1);
  });

  it('gives what is left of a dead batch to a new one', async () => {
    let mended = false;
    const { app, tasks, smtp, startWorker } = await start({
      smtp: { rcpt: (address) => (mended || address === 'fine@example.com' ? undefined : '451 later') },
    });
    await startWorker();
    const emails = [{ to: 'fine@example.com' }, { to: 'b@example.com' }, { to: 'c@example.com' }, { to: 'nonsense' }];
    await (await tasks.sendBulk.delay({ id: 'dead', emails, template: 'newsletter', context: { month: 'May' } })).result();
    expect((await deathOf(app.handle('email-batch:dead:0:1').result())).message).toBe("2 of the batch's recipients were refused for now");
    mended = true;
    expect(await (await tasks.retryFailed.delay({})).result()).toEqual({ retried: 2, closed: 0, exhausted: 0 });
    expect(await app.handle('email-batch:dead:0:2').result()).toEqual({ batch: 'dead:0', sent: 3, failed: 1 });
    expect(smtp.mails).toHaveLength(3);
    expect(smtp.mails.every((mail) => mail.raw.includes('List-Unsubscribe: '))).toBe(true);
  });

  it('brings back a batch that never reached its mail server', async () => {
    const { app, tasks, startWorker, smtp } = await start();
    await smtp.stop();
    await startWorker();
    await (
      await tasks.sendBulk.delay({
        id: 'off',
        emails: [{ to: 'a@example.com' }, { to: 'b@example.com' }],
        template: 'newsletter',
        context: { month: 'May' },
      })
    ).result();
    await deathOf(app.handle('email-batch:off:0:1').result());
    const rows = await platform.database.selectFrom('email_deliveries').select(['status', 'job_id']).execute();
    expect(rows).toEqual([
      { status: 'failed', job_id: 'email-batch:off:0:1' },
      { status: 'failed', job_id: 'email-batch:off:0:1' },
    ]);
    expect(await (await tasks.retryFailed.delay({})).result()).toMatchObject({ retried: 2 });
  });
});
