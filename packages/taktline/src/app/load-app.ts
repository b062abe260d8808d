/** Finds the app that a path names: a module that exports it, a promise of it, or a function that makes it. */
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { TaktlineError } from '../support/taktline-error.ts';
import type { App } from './app.ts';

/** @throws TaktlineError `INVALID_OPTION` with one line that says what is wrong with the module */
export async function loadApp(path: string): Promise<App> {
  const file = resolve(path);
  const stats = await stat(file).catch(() => undefined);
  if (stats === undefined) throw refused(path, `there is no such file (looked for ${file})`);
  if (!stats.isFile()) throw refused(path, 'it is a folder; name the module in it, such as dist/app.js');
  const exported = await attempt(path, 'the module', () => import(pathToFileURL(file).href) as Promise<Record<string, unknown>>);
  const seen: string[] = [];
  for (const name of ['app', 'default']) {
    if (exported[name] === undefined) continue;
    const app = await attempt(path, `its export ${name}`, () => made(exported[name]));
    if (isApp(app)) return app;
    seen.push(name);
  }
  throw refused(
    path,
    seen.length === 0
      ? "it exports neither 'app' nor a default: export what createApp() gave"
      : `${seen.map((name) => `its export '${name}'`).join(' and ')} is no app: export what createApp() gave`,
  );
}

async function made(value: unknown): Promise<unknown> {
  const given = await value;
  return typeof given === 'function' && given.length === 0 ? (given as () => unknown)() : given;
}

async function attempt<Value>(path: string, what: string, work: () => Promise<Value>): Promise<Value> {
  try {
    return await work();
  } catch (error) {
    // The engine's errors say by themselves what is wrong, and their code decides the exit code.
    if (error instanceof Error && error.name === 'TaktlineError') throw error;
    throw refused(path, `${what} threw ${error instanceof Error ? `${error.name}: ${error.message}` : 'what is no error'}`, error);
  }
}

/** By its shape: the app may come from another copy of the engine. */
function isApp(value: unknown): value is App {
  const { inspector, worker, call, close } = (value ?? {}) as Partial<Record<keyof App, unknown>>;
  return typeof inspector === 'object' && [worker, call, close].every((method) => typeof method === 'function');
}

function refused(path: string, why: string, cause?: unknown): TaktlineError {
  return new TaktlineError('INVALID_OPTION', `--app ${path}: ${why}`, { cause });
}
