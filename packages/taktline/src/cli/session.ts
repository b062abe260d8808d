/**
 * One run of a command: gets the app, hands it to the command, and closes it whatever comes, so that the process can end
 * by itself.
 */
import { constants } from 'node:os';
import type { Command } from 'commander';
import { type App, attachApp } from '../app/app.ts';
import { loadApp } from '../app/load-app.ts';
import { CliError, exitCodes } from './exit-codes.ts';

/** The options that stand before the command. */
interface GlobalOptions {
  readonly app?: string;
  readonly broker?: string;
  readonly namespace?: string;
}

/** `tasks`: it needs the app's own code. `broker`: it also works by a broker's URL alone. */
export type Needs = 'tasks' | 'broker';

export interface Session {
  readonly app: App;
  /** The path of the app's module; undefined without one. */
  readonly module: string | undefined;
  /** From now on the command itself decides what Ctrl-C does. */
  ownSignals(): void;
  /** A connection that hangs is known of: the command does not wait for it to close. */
  leaveSoon(): void;
}

/** How long a command that is over waits for its connections to close. */
const closingMs = 3_000;
const leavingMs = 100;

/** @returns what the work returns: the exit code */
export async function withApp(command: Command, needs: Needs, work: (session: Session) => Promise<number>): Promise<number> {
  const { app, module } = await openApp(command, needs);
  let interrupts = 0;
  let patienceMs = closingMs;
  const interrupt = (signal: NodeJS.Signals): void => {
    interrupts += 1;
    const leave = (): never => process.exit(128 + constants.signals[signal]);
    if (interrupts > 1) leave();
    void close(app, patienceMs).finally(leave);
  };
  const ownSignals = (): void => {
    process.off('SIGINT', interrupt);
    process.off('SIGTERM', interrupt);
  };
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', interrupt);
  try {
    return await work({ app, module, ownSignals, leaveSoon: () => void (patienceMs = leavingMs) });
  } catch (error) {
    // What was interrupted fails in its own way. The process ends as soon as the app is closed.
    if (interrupts > 0) await new Promise<never>(() => undefined);
    throw error;
  } finally {
    await close(app, patienceMs);
    ownSignals();
  }
}

async function close(app: App, patienceMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, patienceMs);
  });
  // What the command did is done; a connection that cannot be closed any more changes nothing about it.
  await Promise.race([app.close().catch(() => undefined), late]);
  clearTimeout(timer);
}

async function openApp(command: Command, needs: Needs): Promise<Pick<Session, 'app' | 'module'>> {
  const { app, broker, namespace } = command.optsWithGlobals<GlobalOptions>();
  const byUrl = broker !== undefined || namespace !== undefined;
  if (app !== undefined && byUrl) throw new CliError(exitCodes.usage, '--broker and --namespace go without --app: the app names its own');
  // An URL that is typed beats an app that the environment names.
  const path = app ?? (byUrl ? undefined : process.env['TAKTLINE_APP'] || undefined);
  if (path !== undefined) return { app: await loadApp(path), module: path };
  if (needs === 'tasks') {
    throw new CliError(exitCodes.usage, `${command.name()} needs the app: --app dist/app.js, or TAKTLINE_APP in the environment`);
  }
  const attached = attachApp({ ...(broker === undefined ? {} : { brokerUrl: broker }), ...(namespace === undefined ? {} : { namespace }) });
  return { app: attached, module: undefined };
}
