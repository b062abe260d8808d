/** `taktline dlq` and `taktline purge`: what is put back, what is removed, and what stays. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Shell } from '../../test/support/cli.ts';
import { polled } from '../../test/support/polled.ts';

let shell: Shell;

beforeEach(async () => {
  shell = await Shell.open();
});

afterEach(() => shell.close());

const ofTheDead = async () => (await shell.space.query<{ id: string }>('select id from $ns.dead order by id')).map(({ id }) => id);

it('dlq list filters and pages, newest first', async () => {
  await shell.worker();
  const ids = [await shell.deadLetter(), await shell.deadLetter(), await shell.deadLetter()];
  const all = (await shell.json('dlq', 'list', '--task', 'mail.send', '--queue', 'mail.normal', '--code', 'MAIL_REFUSED')) as {
    readonly deadLetters: readonly { readonly id: string }[];
    readonly cursor: unknown;
  };
  expect(all.cursor).toBeNull();
  expect(all.deadLetters.map(({ id }) => id)).toEqual(ids.toReversed());
  expect(all.deadLetters[0]).toMatchObject({
    task: 'mail.send',
    queue: 'mail.normal',
    code: 'MAIL_REFUSED',
    message: 'refused (nothing)',
    redrives: 0,
  });
  const others = [
    ['--task', 'mail.drop'],
    ['--queue', 'mail.urgent'],
    ['--code', 'OTHER'],
    ['--before', '2020-01-01T00:00:00Z'],
    ['--older-than', '1h'],
  ];
  for (const filter of others) expect(await shell.json('dlq', 'list', ...filter)).toEqual({ deadLetters: [], cursor: null });
  expect(await shell.text('dlq', 'list', '--queue', 'mail.urgent')).toBe('no dead letters\n');

  const page = await shell.run(['dlq', 'list', '--limit', '2']);
  expect(page.stdout).toMatch(
    new RegExp(
      `^ID +TASK +QUEUE +AGE +ATTEMPTS +CODE +MESSAGE\n${ids[2]}  mail.send  mail.normal +\\d+ m?s +2  MAIL_REFUSED  refused \\(nothing\\)\n${ids[1]} .*\n$`,
    ),
  );
  const cursor = /--cursor '(.+)'/.exec(page.stderr)?.[1] ?? '';
  expect(await shell.json('dlq', 'list', '--cursor', cursor)).toMatchObject({ deadLetters: [{ id: ids[0] }], cursor: null });
  expect(await shell.run(['dlq', 'list', '--cursor', 'x'])).toMatchObject({ code: 2, stdout: '' });
});

it('dlq show has the attempts with their errors', async () => {
  await shell.worker();
  const id = await shell.deadLetter({ secret: 'hidden' });
  const shown = await shell.text('dlq', 'show', id);
  expect(shown).toMatch(/^id +\S+\ntask +mail.send\nqueue +mail.normal\ncode +MAIL_REFUSED\nmessage +refused \(\[masked\]\)\n/);
  expect(shown).toMatch(/\n {2}1 {2}failed .* w1@test\n {5}Error \(MAIL_REFUSED\): refused \(\[masked\]\)\n {7}at .*cli-app.mjs/);
  expect(shown.match(/^ {2}\d {2}failed/gm)).toHaveLength(2);
  expect(await shell.json('dlq', 'show', id)).toMatchObject({
    id,
    input: { to: 'a', secret: '[masked]' },
    attempts: [{ attempt: 1, outcome: 'failed' }, { attempt: 2 }],
  });
  expect(await shell.run(['dlq', 'show', 'nobody'])).toEqual({
    code: 4,
    stdout: '',
    stderr: 'taktline: no dead letter has the id nobody\n',
  });
});

it('dlq redrive puts back one, those of a filter, or all', async () => {
  const worker = await shell.worker();
  const ids = [await shell.deadLetter(), await shell.deadLetter(), await shell.deadLetter()];
  // From here on nobody runs what is put back.
  worker.process.kill('SIGTERM');
  expect((await worker.ended).code).toBe(0);

  const partly = await shell.run(['dlq', 'redrive', ids[0] ?? '', 'nobody', '--json']);
  expect(partly).toMatchObject({ code: 4, stderr: 'taktline: no dead letter has the id nobody\n' });
  expect(JSON.parse(partly.stdout)).toEqual({ redriven: 1, notFound: ['nobody'] });
  expect(await ofTheDead()).toEqual(ids.slice(1));
  expect(await shell.text('dlq', 'redrive', '--code', 'OTHER')).toBe('0 dead letters were put back\n');
  expect(await shell.text('dlq', 'redrive', '--code', 'MAIL_REFUSED', '--before', '2099-01-01T00:00:00Z')).toBe(
    '2 dead letters were put back\n',
  );
  expect(await shell.json('status')).toMatchObject({ queues: [{}, { name: 'mail.normal', ready: 3, dead: 0 }] });

  // They fail once more, with a new set of attempts.
  await shell.worker();
  await polled(ofTheDead).toHaveLength(3);
  expect(await shell.json('dlq', 'show', ids[0] ?? '')).toMatchObject({ redrives: 1, attempts: [{}, {}, {}, {}] });
  expect(await shell.json('dlq', 'redrive', '--all', '--force')).toEqual({ redriven: 3, notFound: [] });
});

it('dlq discard removes one, those of a filter, or all', async () => {
  await shell.worker();
  const ids = [await shell.deadLetter(), await shell.deadLetter(), await shell.deadLetter()];
  expect(await shell.text('dlq', 'discard', ids[0] ?? '')).toBe('1 dead letter was removed\n');
  expect(await shell.json('dlq', 'discard', '--queue', 'mail.urgent', '-f')).toEqual({ discarded: 0, notFound: [] });
  expect(await ofTheDead()).toEqual(ids.slice(1));
  expect(await shell.json('dlq', 'discard', '--all', '-f')).toEqual({ discarded: 2, notFound: [] });
  expect(await ofTheDead()).toEqual([]);
  expect(await shell.run(['dlq', 'discard', 'nobody'])).toMatchObject({ code: 4 });
});

it('purge removes what waits, of the queues that are named or of all', async () => {
  await shell.call('mail.send', { to: 'a' });
  await shell.call('mail.send', { to: 'a' }, '--countdown', '1h');
  await shell.call('mail.headers');
  expect(await shell.json('purge', '-Q', 'mail.urgent', '--force')).toEqual({ queues: [{ name: 'mail.urgent', removed: 1 }], removed: 1 });
  // It needs no more than the URL.
  expect(await shell.text(...shell.byUrl, 'purge', '-f')).toMatch(
    /^QUEUE +REMOVED\nmail.urgent +0\nmail.normal +2\n2 jobs were removed\n$/,
  );
  expect(await shell.json('status')).toMatchObject({ queues: [{ ready: 0 }, { ready: 0, scheduled: 0 }] });
});

it('purge leaves alone what runs, and the dead letters', async () => {
  const worker = await shell.worker();
  const dead = await shell.deadLetter();
  await shell.call('mail.slow', { ms: 60_000 });
  await worker.said(/slow begun/);
  expect(await shell.json('purge', '-f')).toMatchObject({ removed: 0 });
  expect(await shell.json('status')).toMatchObject({ queues: [{}, { running: 1, dead: 1 }] });
  expect(await ofTheDead()).toEqual([dead]);
});
