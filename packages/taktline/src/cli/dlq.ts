/** `taktline dlq`: the dead letters, which are failed jobs kept for a person: look at them, put them back, remove them. */
import type { Command } from 'commander';
import type { App } from '../app/app.ts';
import type { DeadLetterQuery } from '../app/inspection.ts';
import type { DeadLetterView } from '../app/job-views.ts';
import { confirm, mayAsk, Progress } from './confirm.ts';
import { CliError, exitCodes } from './exit-codes.ts';
import { age, duration, type JsonOption, moment, note, pairs, print, printJson, printTable } from './output.ts';
import { withApp } from './session.ts';
import { jsonText, oneLine } from './terminal.ts';
import { parseDuration, parseTime, parseWhole } from './values.ts';

interface FilterOptions {
  readonly queue?: string;
  readonly task?: string;
  readonly code?: string;
  readonly before?: Date;
  readonly olderThan?: number;
}

interface ListOptions extends FilterOptions, JsonOption {
  readonly limit: number;
  readonly cursor?: string;
}

interface ActOptions extends FilterOptions, JsonOption {
  readonly all?: boolean;
  readonly force?: boolean;
}

export function addDlq(program: Command): void {
  const dlq = program.command('dlq').description('dead letters: failed jobs that are kept for a person');
  filters(dlq.command('list').description('the dead letters, newest first'))
    .option('--limit <number>', 'at most so many, 1 to 1000', parseWhole, 100)
    .option('--cursor <cursor>', 'go on where the last list ended')
    .option('-j, --json', 'print a JSON document')
    .action(list);
  dlq
    .command('show')
    .description('one dead letter with its attempts')
    .argument('<id>', 'id of the job')
    .option('-j, --json', 'print a JSON document')
    .action(show);
  filters(dlq.command('redrive').description('put dead letters back in their queues, with a new set of attempts'))
    .argument('[ids...]', 'ids of the jobs')
    .option('--all', 'every dead letter; asks first')
    .option('-f, --force', 'do not ask')
    .option('-j, --json', 'print a JSON document')
    .action((ids: string[], options: ActOptions, command: Command) => act('redrive', ids, options, command));
  filters(dlq.command('discard').description('remove dead letters for good'))
    .argument('[ids...]', 'ids of the jobs')
    .option('--all', 'every dead letter; asks first, as it does by filter')
    .option('-f, --force', 'do not ask')
    .option('-j, --json', 'print a JSON document')
    .action((ids: string[], options: ActOptions, command: Command) => act('discard', ids, options, command));
}

function filters(command: Command): Command {
  return command
    .option('--queue <name>', 'only of this queue')
    .option('--task <name>', 'only of this task')
    .option('--code <code>', 'only with this error code, such as TASK_ERROR')
    .option('--before <time>', 'only those that died before this time', parseTime)
    .option('--older-than <duration>', 'only those that died so long ago, such as 7d', parseDuration);
}

function query(options: FilterOptions): DeadLetterQuery {
  const { queue, task, code, before, olderThan } = options;
  if (before !== undefined && olderThan !== undefined) throw new CliError(exitCodes.usage, 'give --before or --older-than, not both');
  const diedBefore = olderThan === undefined ? before : new Date(Date.now() - olderThan);
  return {
    ...(queue === undefined ? {} : { queue }),
    ...(task === undefined ? {} : { task }),
    ...(code === undefined ? {} : { code }),
    ...(diedBefore === undefined ? {} : { diedBefore }),
  };
}

async function list(options: ListOptions, command: Command): Promise<void> {
  const filter = query(options);
  process.exitCode = await withApp(command, 'broker', async ({ app }) => {
    const { limit, cursor } = options;
    const page = await app.inspector.deadLetters.list({ ...filter, limit, ...(cursor === undefined ? {} : { cursor }) });
    if (options.json === true) {
      printJson({ deadLetters: page.items, cursor: page.cursor });
      return exitCodes.ok;
    }
    printTable(
      [
        { title: 'ID', whole: true },
        { title: 'TASK' },
        { title: 'QUEUE' },
        { title: 'AGE', right: true },
        { title: 'ATTEMPTS', right: true },
        { title: 'CODE' },
        { title: 'MESSAGE' },
      ],
      page.items.map((letter) => [
        letter.id,
        letter.task,
        letter.queue,
        age(letter.diedAt),
        String(letter.attempts.length),
        letter.code,
        letter.message,
      ]),
      'no dead letters',
    );
    if (page.cursor !== undefined) note(`there are more: --cursor '${page.cursor}'`);
    return exitCodes.ok;
  });
}

async function show(id: string, options: JsonOption, command: Command): Promise<void> {
  process.exitCode = await withApp(command, 'broker', async ({ app }) => {
    const letter = await app.inspector.deadLetters.show(id);
    if (letter === undefined) throw new CliError(exitCodes.notFound, `no dead letter has the id ${id}`);
    if (options.json === true) printJson(letter);
    else print(described(letter));
    return exitCodes.ok;
  });
}

function described(letter: DeadLetterView): string {
  const lines = [
    pairs([
      ['id', letter.id],
      ['task', letter.task],
      ['queue', letter.queue],
      ['code', letter.code],
      ['message', letter.message],
      ['enqueued', moment(letter.enqueuedAt)],
      ['died', moment(letter.diedAt)],
      ['redrives', String(letter.redrives)],
      ['input', letter.input === undefined ? '(cannot be read)' : jsonText(letter.input)],
    ]),
    '',
    'attempts, oldest first',
  ];
  for (const attempt of letter.attempts) {
    const { error } = attempt;
    const took = duration(attempt.endedAt - attempt.startedAt);
    lines.push(
      `  ${attempt.attempt}  ${oneLine(attempt.outcome)}  ${moment(new Date(attempt.startedAt).toISOString())}  ${took}  ${oneLine(attempt.worker)}`,
    );
    if (attempt.reason !== undefined && attempt.reason !== '') lines.push(`     ${oneLine(attempt.reason)}`);
    if (error === undefined) continue;
    lines.push(`     ${oneLine(`${error.type}${error.code === undefined ? '' : ` (${error.code})`}: ${error.message}`)}`);
    for (const frame of error.stack?.split('\n') ?? []) lines.push(`       ${oneLine(frame)}`);
  }
  return lines.join('\n');
}

async function act(verb: 'redrive' | 'discard', ids: readonly string[], options: ActOptions, command: Command): Promise<void> {
  const filter = query(options);
  const filtered = Object.keys(filter).length > 0;
  if ([ids.length > 0, filtered, options.all === true].filter(Boolean).length !== 1) {
    throw new CliError(exitCodes.usage, `dlq ${verb} takes ids, or a filter (--queue, --task, --code, --before, --older-than), or --all`);
  }
  // What a filter removes is as hard to foresee as what --all does; what it puts back can fail again at worst.
  const asks = options.all === true || (verb === 'discard' && filtered);
  if (asks) mayAsk(options.force);
  process.exitCode = await withApp(command, 'broker', async ({ app }) => {
    const { deadLetters } = app.inspector;
    const which = ids.length > 0 ? 'these' : filtered ? 'the matching' : 'all';
    if (asks)
      await confirm(
        `${verb === 'redrive' ? `put ${which}` : `remove ${which}`} dead letters of ${await app.where()}${verb === 'redrive' ? ' back in their queues' : ' for good'}?`,
        options.force,
      );
    const notFound = await missing(app, ids);
    const progress = new Progress(verb === 'redrive' ? 'put back' : 'removed');
    const selection: DeadLetterQuery = ids.length > 0 ? { ids } : filter;
    const done = await deadLetters[verb](selection, progress).finally(() => progress.clear());
    if (options.json === true) printJson({ [verb === 'redrive' ? 'redriven' : 'discarded']: done, notFound });
    else print(`${done} dead ${done === 1 ? 'letter was' : 'letters were'} ${verb === 'redrive' ? 'put back' : 'removed'}`);
    if (notFound.length === 0) return exitCodes.ok;
    throw new CliError(exitCodes.notFound, `no dead letter has the id ${notFound.join(', ')}`);
  });
}

/** Those of the ids that are no dead letters. */
async function missing(app: App, ids: readonly string[]): Promise<readonly string[]> {
  const found = new Set<string>();
  for (let from = 0; from < ids.length; from += 1_000) {
    const page = await app.inspector.deadLetters.list({ ids: ids.slice(from, from + 1_000), limit: 1_000 });
    for (const { id } of page.items) found.add(id);
  }
  return ids.filter((id) => !found.has(id));
}
