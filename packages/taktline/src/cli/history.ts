/** `taktline history`: how many jobs came to what, and how long they waited and ran. */
import type { Command } from 'commander';
import type { HistoryField, HistoryRow, Percentiles } from '../app/history.ts';
import { CliError, exitCodes } from './exit-codes.ts';
import { duration, type JsonOption, moment, printJson, printTable } from './output.ts';
import { withApp } from './session.ts';
import { parseDuration, parseNames } from './values.ts';

interface Options extends JsonOption {
  readonly since: number;
  readonly by: readonly string[];
  readonly task?: string;
  readonly queue?: string;
  readonly outcome?: string;
}

const fields: readonly HistoryField[] = ['minute', 'task', 'queue', 'outcome'];

export function addHistory(program: Command): void {
  program
    .command('history')
    .description('how many jobs came to what in the last hours, and how long they waited and ran')
    .option('--since <duration>', 'how far back, at most 24h', parseDuration, 3_600_000)
    .option('--by <fields>', `a line for each: ${fields.join(', ')}`, (value: string) => parseNames(value), ['task', 'outcome'])
    .option('--task <name>', 'only of this task')
    .option('--queue <name>', 'only of this queue')
    .option('--outcome <name>', 'only what came to this: succeeded, retried, failed, deferred, cancelled, handed-back, unknown-task, lost')
    .option('-j, --json', 'print a JSON document')
    .action(async (options: Options, command: Command) => {
      const unknown = options.by.filter((field) => !(fields as readonly string[]).includes(field));
      if (unknown.length > 0) throw new CliError(exitCodes.usage, `--by ${unknown.join(', ')}: expected some of ${fields.join(', ')}`);
      const by = options.by as readonly HistoryField[];
      const { since, task, queue, outcome } = options;
      process.exitCode = await withApp(command, 'broker', async ({ app }) => {
        const rows = await app.inspector.history({
          since,
          by,
          ...(task === undefined ? {} : { task }),
          ...(queue === undefined ? {} : { queue }),
          ...(outcome === undefined ? {} : { outcome }),
        });
        if (options.json === true) printJson({ rows });
        else {
          printTable(
            [
              ...by.map((field) => ({ title: field.toUpperCase() })),
              { title: 'JOBS', right: true },
              { title: 'A SECOND', right: true },
              { title: 'WAITED P50', right: true },
              { title: 'P95', right: true },
              { title: 'P99', right: true },
              { title: 'RAN P50', right: true },
              { title: 'P95', right: true },
              { title: 'P99', right: true },
            ],
            rows.map((row) => [
              ...by.map((field) => cell(row, field)),
              String(row.count),
              row.perSecond.toFixed(row.perSecond < 10 ? 2 : 0),
              ...times(row.waited),
              ...times(row.ran),
            ]),
            'no job has ended in that time',
          );
        }
        return exitCodes.ok;
      });
    });
}

function cell(row: HistoryRow, field: HistoryField): string {
  return field === 'minute' ? moment(row.minute) : (row[field] ?? '');
}

function times(percentiles: Percentiles | undefined): readonly string[] {
  return percentiles === undefined ? ['', '', ''] : [percentiles.p50, percentiles.p95, percentiles.p99].map(duration);
}
