/** The question before something is removed: only a plain yes is one. */
import { PassThrough } from 'node:stream';
import { expect, it } from 'vitest';
import { confirm, mayAsk, Progress } from './confirm.ts';

function terminal() {
  const input = Object.assign(new PassThrough(), { isTTY: true });
  const output = Object.assign(new PassThrough(), { isTTY: true });
  output.setEncoding('utf8');
  return { input, output };
}

it.each(['y\n', 'YES\n', ' yes \n'])('%j is a yes', async (answer) => {
  const asking = terminal();
  asking.input.write(answer);
  await confirm('remove all?', false, asking);
  expect(asking.output.read()).toContain('remove all? [y/N]');
});

it.each(['\n', 'n\n', 'yep\n', 'no, yes\n'])('%j is none', async (answer) => {
  const asking = terminal();
  asking.input.write(answer);
  await expect(confirm('remove all?', undefined, asking)).rejects.toMatchObject({ message: 'nothing was done', exitCode: 1 });
});

it('a terminal that goes away has not said yes', async () => {
  const asking = terminal();
  asking.input.end();
  await expect(confirm('remove all?', undefined, asking)).rejects.toThrow('nothing was done');
});

it('--force asks nothing', async () => {
  const asking = terminal();
  await confirm('remove all?', true, asking);
  expect(asking.output.read()).toBeNull();
});

it('without a terminal only --force will do', () => {
  const { input, output } = terminal();
  const pipe = new PassThrough();
  expect(() => mayAsk(undefined, { input: pipe, output })).toThrow(/--force/);
  expect(() => mayAsk(false, { input, output: pipe })).toThrow(/--force/);
  expect(() => mayAsk(false, { input, output: pipe }, '--yes (-y)')).toThrow('this needs --yes (-y)');
  mayAsk(true, { input: pipe, output: pipe });
  mayAsk(undefined, { input, output });
});

it('progress is written over itself and wiped at the end, and a file sees none of it', () => {
  const { output } = terminal();
  const progress = new Progress('removed', output);
  progress.onProgress(1_000);
  progress.onProgress(2_000);
  progress.clear();
  expect(output.read()).toBe('\r1000 removed\r2000 removed\r\u001b[K');
  const file = new PassThrough();
  const silent = new Progress('removed', file);
  silent.onProgress(1_000);
  silent.clear();
  expect(file.read()).toBeNull();
});
