/** `taktline schedule`: schedules that are put at run time, and a look at all of them. */
import { type Command, Option } from 'commander';
import type { App } from '../app/app.ts';
import type { ScheduleOptions } from '../app/schedule-options.ts';
import type { ScheduleView } from '../app/schedules.ts';
import type { Overlap } from '../beat/schedule.ts';
import { withoutUndefined } from '../support/without-undefined.ts';
import { CliError, exitCodes } from './exit-codes.ts';
import { ahead, duration, type JsonOption, moment, pairs, print, printJson, printTable } from './output.ts';
import { withApp } from './session.ts';
import { jsonText, oneLine } from './terminal.ts';
import { parseCatchUp, parseDuration, parseTime, parseWhole, readHeaders, readJson } from './values.ts';

interface AddOptions extends JsonOption {
  readonly task: string;
  readonly input?: string;
  readonly cron?: string;
  readonly timezone?: string;
  readonly every?: number;
  readonly at?: Date;
  readonly in?: number;
  readonly catchUp?: ScheduleOptions['catchUp'];
  readonly overlap?: Overlap;
  readonly queue?: string;
  readonly priority?: number;
  readonly expires?: number;
  readonly headers?: string;
}

export function addSchedule(program: Command): void {
  const schedule = program.command('schedule').description('what is enqueued at set times; a beat has to run (taktline beat)');
  schedule
    .command('add')
    .description('put a schedule, or replace one that was put so')
    .argument('<name>', 'letters, digits and ._:-')
    .requiredOption('--task <name>', 'name of the task')
    .option('--input <json>', 'the input: JSON, @file, or - for standard input')
    .option('--cron <pattern>', "five fields, or six with seconds first, such as '0 6 * * mon-fri'")
    .option('--timezone <name>', 'for --cron, such as Europe/Berlin (default: UTC)')
    .option('--every <duration>', 'such as 15m: counted from the epoch, so at :00, :15, :30 and :45', parseDuration)
    .option('--at <time>', 'once, such as 2027-01-31T08:00:00Z', parseTime)
    .option('--in <duration>', 'once, so long from now', parseDuration)
    .option(
      '--catch-up <policy>',
      'ticks that no beat ran in time: skip, latest, or all:<most> (default: skip; once: latest)',
      parseCatchUp,
    )
    .addOption(
      new Option('--overlap <policy>', 'a tick while an earlier job has not ended (default: allow)').choices(['allow', 'skip', 'queue']),
    )
    .option('--queue <name>', "default: the task's")
    .option('--priority <number>', "1 (last) to 10 (first) within its queue; default: the task's", parseWhole)
    .option('--expires <duration>', 'a job that still waits so long after its tick is not run', parseDuration)
    .option('--headers <json>', 'an object of strings for ctx.headers: JSON, @file, or - for standard input')
    .option('-j, --json', 'print a JSON document')
    .action(async (name: string, options: AddOptions, command: Command) => {
      const wanted = await scheduleOptions(name, options);
      await act(command, async (app) => show(await app.schedules.add(wanted), options));
    });
  schedule
    .command('list')
    .description('all schedules: those of the code and those that were added')
    .option('-j, --json', 'print a JSON document')
    .action((options: JsonOption, command: Command) => act(command, async (app) => list(await app.schedules.list(), options)));
  schedule
    .command('show')
    .description('one schedule, with the ticks that were given up')
    .argument('<name>', 'name of the schedule')
    .option('-j, --json', 'print a JSON document')
    .action((name: string, options: JsonOption, command: Command) =>
      act(command, async (app) => show(await app.schedules.show(name), options)),
    );
  schedule
    .command('run')
    .description("enqueue its job now, beside its ticks; prints the job's id")
    .argument('<name>', 'name of the schedule')
    .option('-j, --json', 'print a JSON document')
    .action((name: string, options: JsonOption, command: Command) =>
      act(command, async (app) => {
        const { id } = await app.schedules.run(name);
        if (options.json === true) printJson({ id, schedule: name });
        else print(id);
      }),
    );
  for (const [verb, description, said] of [
    ['pause', 'let its ticks pass by', 'paused'],
    ['resume', 'run its ticks again, from now on', 'runs again'],
    ['remove', 'remove it; one of the code comes back when a beat starts: pause that', 'removed'],
  ] as const) {
    schedule
      .command(verb)
      .description(description)
      .argument('<names...>', 'names of the schedules')
      .option('-j, --json', 'print a JSON document')
      .action((names: string[], options: JsonOption, command: Command) =>
        act(command, async (app) => {
          await app.schedules[verb](names);
          if (options.json === true) printJson({ schedules: names, done: verb });
          else for (const name of names) print(oneLine(`${name}: ${said}`));
        }),
      );
  }
}

async function act(command: Command, work: (app: App) => Promise<void>): Promise<void> {
  process.exitCode = await withApp(command, 'broker', async ({ app }) => {
    await work(app);
    return exitCodes.ok;
  });
}

async function scheduleOptions(name: string, options: AddOptions): Promise<ScheduleOptions> {
  const { task, cron, timezone: timeZone, every, at, in: inMs, catchUp, overlap, queue, priority, expires } = options;
  if ([cron, every, at, inMs].filter((given) => given !== undefined).length !== 1)
    throw new CliError(exitCodes.usage, 'give one of --cron, --every, --at and --in');
  if (options.input === '-' && options.headers === '-')
    throw new CliError(exitCodes.usage, 'standard input can be --input or --headers, not both');
  const wanted = {
    cron,
    timeZone,
    every,
    at: inMs === undefined ? at : Date.now() + inMs,
    input: options.input === undefined ? undefined : await readJson(options.input, '--input'),
    headers: options.headers === undefined ? undefined : await readHeaders(options.headers),
    catchUp,
    overlap,
    queue,
    priority,
    expires,
  };
  return { name, task, ...withoutUndefined<Omit<ScheduleOptions, 'name' | 'task'>>(wanted) };
}

function list(schedules: readonly ScheduleView[], options: JsonOption): void {
  if (options.json === true) {
    printJson({ schedules });
    return;
  }
  printTable(
    [
      { title: 'NAME', whole: true },
      { title: 'TASK' },
      { title: 'WHEN' },
      { title: 'NEXT' },
      { title: 'LAST' },
      { title: 'RUNS', right: true },
      { title: 'MISSED', right: true },
      { title: 'SKIPPED', right: true },
      { title: 'FROM' },
    ],
    schedules.map((one) => [
      one.name,
      one.task,
      when(one),
      one.paused ? 'paused' : one.nextRun === undefined ? 'no more' : `in ${ahead(one.nextRun)}`,
      moment(one.lastRun?.due),
      String(one.runs),
      String(one.missed),
      String(one.skipped),
      one.source,
    ]),
    'no schedules',
  );
}

function show(one: ScheduleView, options: JsonOption): void {
  if (options.json === true) {
    printJson(one);
    return;
  }
  print(
    pairs([
      ['name', one.name],
      ['task', one.task],
      ['input', jsonText(one.input ?? null)],
      ['when', when(one)],
      ['next', one.paused ? 'paused' : one.nextRun === undefined ? 'no more' : moment(one.nextRun)],
      ['last', one.lastRun === undefined ? 'not yet' : `${moment(one.lastRun.due)}, job ${one.lastRun.job}`],
      ['queue', `${one.queue} (priority ${one.priority})`],
      ['catch-up', one.catchUp],
      ['overlap', one.overlap],
      ['from', one.source === 'code' ? "the app's code" : 'a person'],
      ['runs', String(one.runs)],
      ['missed', String(one.missed)],
      ['skipped', String(one.skipped)],
      ...one.given.map(({ due, why }): readonly [string, string] => ['given up', `${moment(due)}  ${why}`]),
    ]),
  );
}

function when({ cron, timeZone, everyMs, at }: ScheduleView): string {
  if (cron !== undefined) return `${cron} ${timeZone}`;
  return everyMs === undefined ? `once, ${moment(at)}` : `every ${duration(everyMs)}`;
}
