#!/usr/bin/env node
/** The command `taktline`. This file only composes; each command has a file of its own. */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { logLevel } from '../app/settings.ts';
import { addBeat } from './beat.ts';
import { addCall } from './call.ts';
import { addCancel } from './cancel.ts';
import { addControl } from './control.ts';
import { addDlq } from './dlq.ts';
import { addDoctor } from './doctor.ts';
import { addEvents } from './events.ts';
import { CliError, errorCode, exitCodeHelp, exitCodeOf, exitCodes } from './exit-codes.ts';
import { addHistory } from './history.ts';
import { addInspect } from './inspect.ts';
import { addMigrate } from './migrate.ts';
import { addOutbox } from './outbox.ts';
import { ignoreClosedPipes, note } from './output.ts';
import { addPurge } from './purge.ts';
import { addResult } from './result.ts';
import { addSchedule } from './schedule.ts';
import { addStatus } from './status.ts';
import { addWhy } from './why.ts';
import { addWorker } from './worker.ts';

/** What the app's module still holds open may keep the process alive for so long after the command is over. */
const lingerMs = 1_000;
/** Node's own code for a process that ran out of work while something was awaited. */
const stranded = 13;

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { readonly version: string };

const program = new Command('taktline')
  .description('Background tasks: run workers, enqueue jobs, look after queues.')
  .version(version, '-V, --version', 'print the version')
  .option('-A, --app <module>', 'the module that exports the app, such as dist/app.js (default: TAKTLINE_APP)')
  .option('-b, --broker <url>', 'without --app: where the jobs are kept (default: BROKER_URL and its siblings, or embedded:.taktline)')
  .option('--namespace <name>', 'without --app: the namespace of the app (default: taktline)')
  .exitOverride()
  .configureOutput({ outputError: (text) => note(`taktline: ${text.replace(/^error: /, '').trim()}`) })
  .addHelpText('afterAll', `\nExit codes:\n${exitCodeHelp.map(([code, meaning]) => `  ${String(code).padEnd(4)} ${meaning}`).join('\n')}`);

for (const add of [
  addWorker,
  addBeat,
  addCall,
  addResult,
  addCancel,
  addWhy,
  addInspect,
  addControl,
  addEvents,
  addHistory,
  addSchedule,
  addOutbox,
  addStatus,
  addDlq,
  addPurge,
  addMigrate,
  addDoctor,
])
  add(program);

ignoreClosedPipes();
process.exitCode = stranded;
process.once('exit', (code) => {
  if (code !== stranded) return;
  note('taktline: nothing is left to wait for, and the command has not ended: does the promise of --app ever settle?');
  process.exitCode = exitCodes.usage;
});
try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = failed(error);
}
setTimeout(() => process.exit(), lingerMs).unref();

/** Tells what went wrong, in one line. @returns the exit code */
function failed(error: unknown): number {
  // Commander has said it already; help and version are no errors.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  const ours = error instanceof CliError || errorCode(error) !== undefined;
  const { name, message } = error instanceof Error ? error : new Error('something was thrown that is no error');
  const prefix = errorCode(error) === 'BROKER_UNAVAILABLE' ? 'the broker is not available: ' : ours ? '' : `${name}: `;
  note(`taktline: ${prefix}${message}`);
  if (debugging() && error instanceof Error)
    process.stderr.write(`${error.stack ?? ''}\n${error.cause instanceof Error ? `caused by ${error.cause.stack ?? ''}\n` : ''}`);
  return exitCodeOf(error);
}

function debugging(): boolean {
  try {
    return logLevel(process.env) === 'debug';
  } catch {
    return false;
  }
}
