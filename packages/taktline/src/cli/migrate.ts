/** `taktline migrate`: moves the jobs of one broker to another. It may be ended at any time, and goes on when it is called again. */
import { constants } from 'node:os';
import { type Command, Option } from 'commander';
import { Migration, type MigrationReport } from '../app/migration.ts';
import { defaults } from '../app/settings.ts';
import type { QueueCounts, WorkerRecord } from '../broker/inspector.ts';
import { describeUrl } from '../broker/open-broker.ts';
import { confirm, mayAsk, Progress } from './confirm.ts';
import { CliError, exitCodes } from './exit-codes.ts';
import { type JsonOption, note, print, printJson, printTable } from './output.ts';

interface Options extends JsonOption {
  readonly from?: string;
  readonly to?: string;
  readonly toNamespace?: string;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  /** These three stand before the command, or behind it. */
  readonly namespace?: string;
  readonly app?: string;
  readonly broker?: string;
}

/** As they are shown: without user and password. */
type Places = Readonly<Record<'from' | 'to', { readonly broker: string; readonly namespace: string }>>;

/** So many jobs that could not be moved are told of one by one; `--json` has all. */
const told = 10;

export function addMigrate(program: Command): void {
  program
    .command('migrate')
    .description('move waiting, scheduled and dead jobs to another broker; stop the workers there first')
    .addOption(new Option('--from <url>', 'where the jobs are; --namespace names theirs').env('TAKTLINE_MIGRATE_FROM'))
    .addOption(new Option('--to <url>', 'where they go').env('TAKTLINE_MIGRATE_TO'))
    .option('--to-namespace <name>', 'the namespace there (default: the same)')
    .option('--dry-run', 'only count what would be moved')
    .option('-y, --yes', 'do not ask')
    .option('-j, --json', 'print a JSON document')
    .action(async (_: unknown, command: Command) => {
      process.exitCode = await migrate(command.optsWithGlobals<Options>());
    });
}

async function migrate(options: Options): Promise<number> {
  const { from, to, namespace = defaults.namespace, toNamespace = namespace } = options;
  if (options.app !== undefined || options.broker !== undefined)
    throw new CliError(exitCodes.usage, 'migrate goes without --app and --broker: --from and --to name the brokers');
  if (from === undefined || to === undefined) throw new CliError(exitCodes.usage, 'migrate needs --from and --to');
  if (options.dryRun !== true) mayAsk(options.yes, undefined, '--yes (-y)');
  const migration = await Migration.open({ url: from, namespace }, { url: to, namespace: toNamespace });
  try {
    const places: Places = {
      from: { broker: migration.where, namespace },
      to: { broker: describeUrl(to), namespace: toNamespace },
    };
    const queues = await migration.queues();
    if (options.dryRun === true) {
      survey(places, queues, await migration.workers(), options);
      return exitCodes.ok;
    }
    const jobs = queues.reduce((sum, { ready, scheduled, dead }) => sum + ready + scheduled + dead, 0);
    await confirm(`move ${jobs} jobs from ${written(places)}?`, options.yes);
    return await move(migration, places, stopSignal(), options);
  } finally {
    await migration.close();
  }
}

async function move(migration: Migration, places: Places, interrupted: Interruption, options: Options): Promise<number> {
  const progress = new Progress('moved');
  let report: MigrationReport;
  try {
    report = await migration.run({
      signal: interrupted.signal,
      onProgress: progress.onProgress,
      onWait: (jobs) => note(`waiting for the leases of lost workers to run out; they hold ${jobs} jobs`),
    });
  } catch (error) {
    progress.clear();
    // Where the broker cannot be asked any more, the error says enough.
    const so = await migration.report().catch(() => undefined);
    if (so !== undefined) {
      tell(so);
      if (totals(so).moved > 0) note(`${totals(so).moved} jobs were moved before this; the same command goes on`);
    }
    throw error;
  }
  progress.clear();
  if (options.json === true) printJson({ ...places, ...totals(report), ...report });
  else {
    printTable(
      [
        { title: 'QUEUE' },
        { title: 'STATE' },
        { title: 'MOVED', right: true },
        { title: 'THERE', right: true },
        { title: 'KEPT', right: true },
      ],
      report.counts.map(({ queue, state, ...counts }) => [queue, state, String(counts.moved), String(counts.there), String(counts.kept)]),
      'there was nothing to move',
    );
    const { moved, there } = totals(report);
    print(`${moved} ${moved === 1 ? 'job was' : 'jobs were'} moved${there === 0 ? '' : `, ${there} had been there already`}`);
  }
  return concluded(report, interrupted);
}

/** Tells which jobs are not where they should be, the first of them. */
function tell({ kept, twice }: MigrationReport): void {
  for (const { id, queue, reason } of kept.slice(0, told)) note(`kept ${id} of ${queue}: ${reason}`);
  if (kept.length > told) note(`and ${kept.length - told} more`);
  for (const id of twice.slice(0, told)) note(`${id} was taken by a worker at either end`);
  if (twice.length > told) note(`and ${twice.length - told} more`);
}

/** Tells what is left. @returns the exit code */
function concluded(report: MigrationReport, interrupted: Interruption): number {
  const { kept, twice, running } = report;
  tell(report);
  if (running > 0) note(`${running} jobs run where they were; when they have ended, call again for those that wait again`);
  if (report.interrupted) {
    note('interrupted: start no worker where the jobs were; the same command goes on');
    return interrupted.exitCode;
  }
  return kept.length + twice.length + running > 0 ? exitCodes.failed : exitCodes.ok;
}

function totals({ counts }: MigrationReport): { readonly moved: number; readonly there: number } {
  const sum = (field: 'moved' | 'there') => counts.reduce((all, count) => all + count[field], 0);
  return { moved: sum('moved'), there: sum('there') };
}

function written({ from, to }: Places): string {
  return `${from.broker} (${from.namespace}) to ${to.broker} (${to.namespace})`;
}

function survey(places: Places, queues: readonly QueueCounts[], workers: readonly WorkerRecord[], options: Options): void {
  const counts = queues.map(({ name, ready, scheduled, dead, running }) => ({ queue: name, queued: ready, scheduled, dead, running }));
  const names = workers.map(({ name }) => name);
  if (options.json === true) {
    printJson({ ...places, counts, workers: names });
    return;
  }
  printTable(
    [
      { title: 'QUEUE' },
      { title: 'QUEUED', right: true },
      { title: 'SCHEDULED', right: true },
      { title: 'DEAD', right: true },
      { title: 'RUNNING', right: true },
    ],
    counts.map(({ queue, queued, scheduled, dead, running }) => [queue, ...[queued, scheduled, dead, running].map(String)]),
    'no queue is declared',
  );
  print(
    `would move ${counts.reduce((sum, { queued, scheduled, dead }) => sum + queued + scheduled + dead, 0)} jobs from ${written(places)}`,
  );
  if (names.length > 0) note(`to be stopped first: ${names.join(', ')}`);
}

interface Interruption {
  readonly signal: AbortSignal;
  /** 128 and the number of the signal that came. */
  readonly exitCode: number;
}

/** The first Ctrl-C or SIGTERM lets the page under way be finished, the second one ends the process. */
function stopSignal(): Interruption {
  const stopping = new AbortController();
  let exitCode: number = exitCodes.interrupted;
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      exitCode = 128 + constants.signals[name];
      if (stopping.signal.aborted) process.exit(exitCode);
      stopping.abort();
    });
  }
  return {
    signal: stopping.signal,
    get exitCode() {
      return exitCode;
    },
  };
}
