/** A worker's process is replaced when it dies or is used up, and not when it should not be. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, it } from 'vitest';
import { eventually } from '../../test/support/eventually.ts';
import { LogLines } from '../../test/support/log-lines.ts';
import { Supervisor } from './supervisor.ts';

interface How {
  /** It ends with this before it works. */
  readonly endsWith?: number;
  readonly stopCode?: number;
  readonly usedUp?: boolean;
  readonly deaf?: boolean;
  readonly mute?: boolean;
}

const fixture = fileURLToPath(new URL('../../test/fixtures/supervised.mjs', import.meta.url));
let children: ChildProcess[] = [];
let log = new LogLines();

afterEach(async () => {
  for (const child of children) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }
  children = [];
  log = new LogLines();
});

/** @param lives how each process in turn lives; the last one also those after it */
function supervised(...lives: readonly How[]) {
  const over: number[] = [];
  const supervisor = new Supervisor({
    start: () => {
      const child = fork(fixture, [JSON.stringify(lives[Math.min(children.length, lives.length - 1)])]);
      children.push(child);
      return child;
    },
    logger: log.logger,
    over: (exitCode) => over.push(exitCode),
  });
  supervisor.start();
  return { supervisor, over };
}

const living = () => children.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null);
const works = (supervisor: Supervisor) => eventually(async () => (await supervisor.health()) !== undefined, 'it works');

it('replaces one that dies, after a second, then after two', async () => {
  const { supervisor, over } = supervised({});
  for (const [death, waitMs] of [1_000, 2_000].entries()) {
    await works(supervisor);
    children.at(-1)?.kill('SIGKILL');
    const died = performance.now();
    await eventually(async () => children.length === death + 2, 'another one is started');
    expect(performance.now() - died).toBeGreaterThan(waitMs - 50);
    expect(log.with('another one is started').at(-1)).toMatchObject({ how: 'SIGKILL', inMs: waitMs });
  }
  expect(over).toEqual([]);
  await works(supervisor);
  supervisor.stop(false);
  await eventually(async () => over.length > 0, 'it is over');
  expect(over).toEqual([0]);
});

it('the replacement of one that is used up works before the old one is told to stop', async () => {
  const { supervisor, over } = supervised({ usedUp: true }, {});
  await eventually(async () => children.length === 2 && living().length === 1, 'the old one has ended');
  expect(children[0]?.exitCode).toBe(0);
  expect(await supervisor.health()).toEqual({ worker: { live: true, stalledMs: 0 } });
  expect(over).toEqual([]);
  expect(log.with('used up')).toHaveLength(1);
  supervisor.stop(false);
  await eventually(async () => over.length > 0, 'it is over');
});

it('a replacement that dies before it works leaves the old one at work', async () => {
  const { over } = supervised({ usedUp: true }, { endsWith: 3 }, {});
  await eventually(async () => children.length >= 2 && children[1]?.exitCode === 3, 'the first heir dies');
  expect(living()).toContain(children[0]);
  expect(over).toEqual([]);
});

it('ends with the code of one that never came to work', async () => {
  const { over } = supervised({ endsWith: 2 });
  await eventually(async () => over.length > 0, 'it is over');
  expect(over).toEqual([2]);
  expect(children).toHaveLength(1);
});

it('ends with one that ends by itself without failing, as when somebody asked it to', async () => {
  const { supervisor, over } = supervised({});
  await works(supervisor);
  children[0]?.send({ kind: 'stop', now: false });
  await eventually(async () => over.length > 0, 'it is over');
  expect(over).toEqual([0]);
});

it('gives the worst exit code of those that it stops', async () => {
  const { supervisor, over } = supervised({ stopCode: 1 });
  await works(supervisor);
  supervisor.stop(false);
  await eventually(async () => over.length > 0, 'it is over');
  expect(over).toEqual([1]);
});

it('says nothing of the health of one that does not answer, or is not there', async () => {
  const mute = supervised({ mute: true });
  await eventually(async () => children[0]?.connected === true, 'it is there');
  const asked = performance.now();
  expect(await mute.supervisor.health()).toBeUndefined();
  expect(performance.now() - asked).toBeLessThan(5_000);
  const idle = new Supervisor({ start: () => fork(fixture, ['{}']), logger: log.logger, over: () => undefined });
  expect(await idle.health()).toBeUndefined();
});
