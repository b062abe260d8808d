/** `taktline outbox`: moves what transactions have enqueued to the broker, tells how much waits, and puts back what was lost. */
import type { Command } from 'commander';
import type { Outbox } from '../outbox/outbox.ts';
import type { Reconciliation } from '../outbox/reconcile.ts';
import { logLevels } from '../support/logger.ts';
import { onStopSignals } from '../support/process-signals.ts';
import { confirm, mayAsk, Progress } from './confirm.ts';
import { exitCodes } from './exit-codes.ts';
import { answerProbes, type HealthOptions, withHealth } from './health.ts';
import { duration, type JsonOption, pairs, print, printJson } from './output.ts';
import { withApp } from './session.ts';
import { table } from './table.ts';
import { oneLine } from './terminal.ts';
import { setLogLevel } from './values.ts';

interface RelayOptions extends HealthOptions {
  readonly loglevel?: string;
}

interface ReconcileOptions extends JsonOption {
  readonly dryRun?: boolean;
  readonly yes?: boolean;
}

const nothingLost = `Where nothing is lost it does not ask: it removes rows whose jobs have ended, and remembers that it has
told how many jobs of other queues are gone, so that the next one tells of new losses. --dry-run does not
remember it.`;

export function addOutbox(program: Command): void {
  const outbox = program.command('outbox').description('jobs that were enqueued with transactions, until the broker has them');
  const move = outbox
    .command('relay')
    .description('move them to the broker, until SIGTERM or Ctrl-C; any number may run')
    .option('-l, --loglevel <level>', `${logLevels.join(', ')} (default: TAKTLINE_LOG_LEVEL, or info)`);
  withHealth(move).action(relay);
  outbox.command('status').description('how many wait, and for how long').option('-j, --json', 'print a JSON document').action(status);
  outbox
    .command('reconcile')
    .description(
      'after the broker has lost data: enqueue again what queues that are kept until the end have lost; says first what it will do',
    )
    .option('--dry-run', 'only say it')
    .option('-y, --yes', 'do not ask')
    .option('-j, --json', 'print a JSON document')
    .addHelpText('after', `\n${nothingLost}`)
    .action(reconcile);
}

async function relay(options: RelayOptions, command: Command): Promise<void> {
  if (options.loglevel !== undefined) setLogLevel(options.loglevel);
  process.exitCode = await withApp(command, 'tasks', async ({ app, ownSignals }) => {
    const running = app.relay();
    await running.start();
    ownSignals();
    const kept = app.queues.filter(({ keepUntilEnd }) => keepUntilEnd === true).map(({ name }) => name);
    process.stderr.write(
      `${pairs([
        ['outbox', app.outbox.where()],
        ['broker', await app.where()],
        ['kept', kept.join(', ') || 'no queue is declared keepUntilEnd'],
        ['stop', 'SIGTERM or Ctrl-C; what is on its way arrives first'],
      ])}\n`,
    );
    const server = await answerProbes(options, () => Promise.resolve({ relay: running.health() }));
    const code = await new Promise<number>((done) => {
      onStopSignals({ gently: () => running.stop(), atOnce: () => running.stop(), done });
    });
    await server?.close();
    return code;
  });
}

async function status(options: JsonOption, command: Command): Promise<void> {
  process.exitCode = await withApp(command, 'broker', async ({ app }) => {
    const { waiting, oldestMs, kept } = await app.outbox.lag();
    if (options.json === true) printJson({ waiting, oldestMs, kept });
    else {
      print(
        pairs([
          ['outbox', app.outbox.where()],
          ['waiting', String(waiting)],
          ['oldest waits', oldestMs === undefined ? '' : duration(oldestMs)],
          ['kept', `${kept} until they have ended`],
        ]),
      );
    }
    return exitCodes.ok;
  });
}

async function reconcile(options: ReconcileOptions, command: Command): Promise<void> {
  const { dryRun = false, json = false } = options;
  if (!dryRun) mayAsk(options.yes, undefined, '--yes (-y)');
  process.exitCode = await withApp(command, 'tasks', async ({ app }) => {
    const plan = await look(app.outbox, true);
    if (dryRun) {
      if (json) printJson({ ...plan, dryRun });
      else tell(plan, 'would be');
      return exitCodes.ok;
    }
    const lost = lostIn(plan);
    if (lost > 0) {
      // On standard error where the answer is one document.
      if (options.yes !== true) tell(plan, 'would be', json ? process.stderr : process.stdout);
      await confirm(`enqueue ${jobs(lost)} again? Those that had ended unseen run once more`, options.yes);
    }
    const done = await look(app.outbox, false);
    if (json) printJson({ ...done, dryRun });
    else tell(done, 'were');
    return exitCodes.ok;
  });
}

async function look(outbox: Outbox, dryRun: boolean): Promise<Reconciliation> {
  const progress = new Progress('compared');
  return outbox.reconcile({ dryRun, onProgress: progress.onProgress }).finally(() => progress.clear());
}

function tell(reconciliation: Reconciliation, were: 'were' | 'would be', to: NodeJS.WriteStream = process.stdout): void {
  const { queues, lostElsewhere } = reconciliation;
  const heads = [
    { title: 'KEPT QUEUE' },
    { title: 'COMPARED', right: true },
    { title: 'THERE', right: true },
    { title: 'ENDED', right: true },
    { title: 'LOST', right: true },
  ];
  const rows = queues.map(({ queue, compared, there, ended, lost }) => [queue, ...[compared, there, ended, lost].map(String)]);
  const lost = lostIn(reconciliation);
  const lines = [
    rows.length === 0 ? 'no queue is declared keepUntilEnd' : table(heads, rows, to.isTTY ? to.columns : undefined),
    lost === 0 ? 'of these nothing is lost' : `${jobs(lost)} ${were} enqueued again; an effect key makes their effects once`,
    ...lostElsewhere.map(
      ({ queue, atMost }) => `gone for good: ${oneLine(queue)}, ${jobs(atMost)} at most; some of them may have ended before`,
    ),
  ];
  to.write(`${lines.join('\n')}\n`);
}

function lostIn({ queues }: Pick<Reconciliation, 'queues'>): number {
  return queues.reduce((sum, { lost }) => sum + lost, 0);
}

function jobs(count: number): string {
  return `${count} ${count === 1 ? 'job' : 'jobs'}`;
}
