/** `--app`: every way in which a module may offer its app, and one clear line for every way in which it does not. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { exitCodeOf } from '../cli/exit-codes.ts';
import { loadApp } from './load-app.ts';

const engine = new URL('../../dist/index.js', import.meta.url).href;
const make = `import { createApp } from ${JSON.stringify(engine)};
const make = () => createApp({ brokerUrl: 'postgres://nobody@127.0.0.1:1/none', queues: [{ name: 'q', priority: 1 }] });\n`;
let folder: string;
let files = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'taktline-load-app-'));
});

afterAll(() => rm(folder, { recursive: true }));

async function module(code: string, name = `app-${++files}.mjs`): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, code);
  return path;
}

async function refusal(path: string): Promise<{ readonly message: string; readonly exitCode: number }> {
  try {
    await loadApp(path);
  } catch (error) {
    return { message: (error as Error).message, exitCode: exitCodeOf(error) };
  }
  throw new Error('it was taken');
}

it.each([
  ['app', 'export const app = make();'],
  ['default', 'export default make();'],
  ['a promise', 'export const app = Promise.resolve(make());'],
  ['a function', 'export default make;'],
  ['an async function', 'export const app = async () => make();'],
  ['a default beside an app that is another kind of app', 'export function app(request, response, next) {} export default make();'],
])('takes %s', async (_, code) => {
  const app = await loadApp(await module(make + code));
  expect(app.queues).toEqual([{ name: 'q', priority: 1 }]);
  await app.close();
});

it('takes the app of another copy of the engine', async () => {
  const app = await loadApp(await module('export const app = { inspector: {}, worker() {}, call() {}, close() {}, mark: 1 };'));
  expect(app).toMatchObject({ mark: 1 });
});

it.each([
  ['no such export', 'export const other = 1;', /exports neither 'app' nor a default/],
  ['an app that is none', 'export const app = { worker: 1 };', /its export 'app' is no app/],
  ['a module that throws', `throw new TypeError('no DATABASE');`, /the module threw TypeError: no DATABASE$/],
  ['a module that cannot be read', 'export const = 1', /the module threw \w+Error: /],
  ['a promise that fails', `export const app = Promise.reject(new Error('no luck'));`, /its export app threw Error: no luck$/],
  ['a function that throws', `export default () => { throw new RangeError('too far'); };`, /its export default threw RangeError: too far$/],
  ['what is thrown and no error', `throw 'text';`, /the module threw what is no error$/],
])('refuses %s', async (_, code, message) => {
  const path = await module(code);
  const refused = await refusal(path);
  expect(refused.message).toMatch(message);
  expect(refused.message).toContain(`--app ${path}: `);
  expect(refused.exitCode).toBe(2);
});

it('names a file that is missing, and a folder', async () => {
  expect(await refusal(join(folder, 'none.mjs'))).toMatchObject({ message: expect.stringContaining('there is no such file'), exitCode: 2 });
  expect(await refusal(folder)).toMatchObject({ message: expect.stringContaining('it is a folder'), exitCode: 2 });
});

it("an error of the engine's, whatever copy it comes from, speaks for itself", async () => {
  const path = await module(`throw Object.assign(new Error('gone'), { name: 'TaktlineError', code: 'BROKER_UNAVAILABLE' });`);
  expect(await refusal(path)).toEqual({ message: 'gone', exitCode: 3 });
});
