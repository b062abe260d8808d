/** `taktline inspect`: what workers do and are, answered by them; and what is scheduled, which the broker knows. Names are Celery's. */
import type { Command } from 'commander';
import type { JobView } from '../app/job-views.ts';
import type { HeldJobs, WorkerStats } from '../worker/control.ts';
import { type Answered, type AskingOptions, answered, asking } from './asking.ts';
import { exitCodes } from './exit-codes.ts';
import { age, ahead, duration, type JsonOption, note, print, printJson, printTable } from './output.ts';
import { withApp } from './session.ts';
import type { Column } from './table.ts';
import { jsonText, oneLine } from './terminal.ts';
import { parseWhole } from './values.ts';

type Question = 'ping' | 'report' | 'stats' | 'active' | 'reserved' | 'revoked' | 'registered' | 'active_queues';

export function addInspect(program: Command): void {
  const inspect = program.command('inspect').description('what runs, what is scheduled, and what the workers are');
  addScheduled(inspect);

  const add = (verb: Question, description: string, show: (answers: readonly Answered[], options: AskingOptions) => void): void => {
    asking(inspect.command(verb).description(description)).action(async (options: AskingOptions, command: Command) => {
      process.exitCode = await withApp(command, 'broker', ({ app }) =>
        answered(app, { verb }, options, (answers) => {
          show(answers, options);
          for (const { worker, error } of answers) if (error !== undefined) note(`${worker}: ${error}`);
        }),
      );
    });
  };
  add('active', 'the jobs that run', jobs('no job runs'));
  add('reserved', 'the jobs that workers have claimed and not begun', jobs('no job is reserved'));
  add('revoked', 'the jobs that run and were asked to stop', jobs('no job was asked to stop'));
  add('registered', 'the tasks that each worker knows', (answers, { json }) => {
    const workers = (values(answers) as Said<readonly string[]>).map(([name, tasks]) => ({ name, tasks }));
    if (json === true) return printJson({ workers });
    const rows = workers.flatMap(({ name, tasks }) => (tasks.length === 0 ? [[name, '(none)']] : tasks.map((task) => [name, task])));
    printTable([{ title: 'WORKER' }, { title: 'TASK' }], rows, none);
  });
  add('active_queues', 'the queues that each worker takes jobs from', (answers, { json }) => {
    const workers = (values(answers) as Said<readonly { name: string; priority: number }[]>).map(([name, queues]) => ({ name, queues }));
    if (json === true) return printJson({ workers });
    const heads = [{ title: 'WORKER' }, { title: 'QUEUE' }, { title: 'PRIORITY', right: true }];
    const rows = workers.flatMap(({ name, queues }) => queues.map((queue) => [name, queue.name, String(queue.priority)]));
    printTable(heads, rows, none);
  });
  add('stats', 'the pool of each worker, what it has done, and what it takes', (answers, { json }) => {
    const workers = (values(answers) as Said<WorkerStats>).map(([name, stats]) => ({ name, ...stats }));
    if (json === true) return printJson({ workers });
    printTable(statsHeads, workers.map(statsRow), none);
  });
  add('report', 'versions and figures of each worker, for a bug report', (answers, { json }) => {
    const workers = (values(answers) as Said<object>).map(([name, report]) => ({ name, ...report }));
    if (json === true) return printJson({ workers });
    for (const worker of workers) print(oneLine(jsonText(worker)));
    if (workers.length === 0) print(none);
  });
  add('ping', 'whether each worker answers', (answers, { json }) => {
    const workers = answers.map(({ worker, error }) => ({ name: worker, ok: error === undefined }));
    if (json === true) return printJson({ workers });
    printTable(
      [{ title: 'WORKER' }, { title: 'ANSWER' }],
      answers.map(({ worker, value, error }) => [worker, error ?? String(value)]),
      none,
    );
  });
}

const none = 'no worker runs';

/** What was said by those who could; a worker of another release may say anything. */
function values(answers: readonly Answered[]): readonly (readonly [worker: string, value: unknown])[] {
  return answers.flatMap(({ worker, value, error }) => (error === undefined ? [[worker, value] as const] : []));
}

type Said<Value> = readonly (readonly [worker: string, value: Value])[];

function jobs(nothing: string): (answers: readonly Answered[], options: AskingOptions) => void {
  return (answers, { json }) => {
    const held = values(answers) as Said<HeldJobs>;
    const rows = held.flatMap(([worker, { jobs }]) =>
      jobs.map((job) => ({ ...job, worker, startedAt: job.startedAt === undefined ? undefined : new Date(job.startedAt).toISOString() })),
    );
    if (json === true) return printJson({ jobs: rows, total: held.reduce((sum, [, { total }]) => sum + total, 0) });
    printTable(
      [{ title: 'ID', whole: true }, { title: 'TASK' }, { title: 'QUEUE' }, { title: 'RUNS FOR' }, { title: 'WORKER' }, { title: 'INPUT' }],
      rows.map((job) => [job.id, job.task, job.queue, age(job.startedAt), job.worker, job.input === undefined ? '' : jsonText(job.input)]),
      nothing,
    );
    for (const [worker, { jobs, total }] of held) if (total > jobs.length) note(`${worker}: the first ${jobs.length} of ${total}`);
  };
}

const statsHeads: readonly Column[] = [
  { title: 'WORKER' },
  { title: 'PID', right: true },
  { title: 'UP', right: true },
  { title: 'POOL' },
  { title: 'SIZE', right: true },
  { title: 'RUNNING', right: true },
  { title: 'RESERVED', right: true },
  { title: 'FINISHED', right: true },
  { title: 'MEMORY', right: true },
  { title: 'RECYCLED', right: true },
  { title: 'KILLED', right: true },
  { title: 'CRASHED', right: true },
];

function statsRow({ name, pool, ...stats }: WorkerStats & { readonly name: string }): readonly string[] {
  const bytes = pool.children.reduce((sum, child) => sum + child.rssBytes, stats.rssBytes);
  return [
    name,
    String(stats.pid),
    duration(stats.upMs),
    pool.kind,
    ...[
      pool.size,
      stats.running,
      stats.reserved,
      Object.values(stats.finished).reduce((sum, count) => sum + count, 0),
      `${Math.round(bytes / 1_048_576)} MiB`,
      pool.recycled,
      pool.killed,
      pool.crashed,
    ].map(String),
  ];
}

interface ListOptions extends JsonOption {
  readonly queue?: string;
  readonly limit: number;
}

function addScheduled(inspect: Command): void {
  inspect
    .command('scheduled')
    .description('the jobs that wait for an eta, a countdown or a retry, the next one first')
    .option('--queue <name>', 'only of this queue')
    .option('--limit <number>', 'at most so many, 1 to 1000', parseWhole, 100)
    .option('-j, --json', 'print a JSON document')
    .action(async (options: ListOptions, command: Command) => {
      process.exitCode = await withApp(command, 'broker', async ({ app }) => {
        const { limit, queue } = options;
        const jobs = await app.inspector.jobs('scheduled', { limit, ...(queue === undefined ? {} : { queue }) });
        if (options.json === true) printJson({ jobs });
        else {
          printTable(
            [
              { title: 'ID', whole: true },
              { title: 'TASK' },
              { title: 'QUEUE' },
              { title: 'DUE IN' },
              { title: 'STATE' },
              { title: 'INPUT' },
            ],
            jobs.map((job) => [job.id, job.task ?? '', job.queue, ...waits(job), job.input === undefined ? '' : jsonText(job.input)]),
            'no job is scheduled',
          );
        }
        if (jobs.length === limit) note(`these are the first ${limit}: there may be more (--limit, up to 1000)`);
        return exitCodes.ok;
      });
    });
}

function waits(job: JobView): string[] {
  return [ahead(job.dueAt), job.failures === 0 ? job.state : `${job.state}, ${job.failures} failed`];
}
