/** `taktline inspect`: what runs, what waits for its time, and what the workers are. Names are Celery's. */
import type { Command } from 'commander';
import type { JobView } from '../app/inspection.ts';
import { exitCodes } from './exit-codes.ts';
import { age, ahead, duration, type JsonOption, note, printJson, printTable } from './output.ts';
import { withApp } from './session.ts';
import { jsonText } from './terminal.ts';
import { parseWhole } from './values.ts';
import { tasksOf, workerView } from './worker-view.ts';

interface ListOptions extends JsonOption {
  readonly queue?: string;
  readonly limit: number;
}

export function addInspect(program: Command): void {
  const inspect = program.command('inspect').description('what runs, what is scheduled, and what the workers are');
  addJobs(inspect, 'active', 'running', 'the jobs that run', 'no job runs');
  addJobs(
    inspect,
    'scheduled',
    'scheduled',
    'the jobs that wait for an eta, a countdown or a retry, the next one first',
    'no job is scheduled',
  );
  addWorkers(inspect);
}

function addJobs(inspect: Command, name: string, state: 'running' | 'scheduled', description: string, none: string): void {
  inspect
    .command(name)
    .description(description)
    .option('--queue <name>', 'only of this queue')
    .option('--limit <number>', 'at most so many, 1 to 1000', parseWhole, 100)
    .option('-j, --json', 'print a JSON document')
    .action(async (options: ListOptions, command: Command) => {
      process.exitCode = await withApp(command, 'broker', async ({ app }) => {
        const { limit, queue } = options;
        const jobs = await app.inspector.jobs(state, { limit, ...(queue === undefined ? {} : { queue }) });
        if (options.json === true) printJson({ jobs });
        else {
          const running = state === 'running';
          printTable(
            [
              { title: 'ID', whole: true },
              { title: 'TASK' },
              { title: 'QUEUE' },
              { title: running ? 'RUNS FOR' : 'DUE IN' },
              { title: running ? 'WORKER' : 'STATE' },
              { title: 'INPUT' },
            ],
            jobs.map((job) => [
              job.id,
              job.task ?? '',
              job.queue,
              ...(running ? runs(job) : waits(job)),
              job.input === undefined ? '' : jsonText(job.input),
            ]),
            none,
          );
        }
        if (jobs.length === limit) note(`these are the first ${limit}: there may be more (--limit, up to 1000)`);
        return exitCodes.ok;
      });
    });
}

function runs(job: JobView): string[] {
  return [job.cancelAsked ? `${age(job.startedAt)}, cancel asked` : age(job.startedAt), job.worker ?? '(lost)'];
}

function waits(job: JobView): string[] {
  return [ahead(job.dueAt), job.failures === 0 ? job.state : `${job.state}, ${job.failures} failed`];
}

function addWorkers(inspect: Command): void {
  const add = (name: string, description: string, show: (options: JsonOption, command: Command) => Promise<number>): void => {
    inspect
      .command(name)
      .description(description)
      .option('-j, --json', 'print a JSON document')
      .action(async (options: JsonOption, command: Command) => {
        process.exitCode = await show(options, command);
      });
  };
  const none = 'no worker runs';

  add('registered', 'the tasks that each worker knows', (options, command) =>
    withApp(command, 'broker', async ({ app }) => {
      const workers = (await app.inspector.workers()).map((record) => ({ name: record.name, tasks: tasksOf(record) }));
      if (options.json === true) printJson({ workers });
      else
        printTable(
          [{ title: 'WORKER' }, { title: 'TASK' }],
          workers.flatMap(({ name, tasks }) => (tasks.length === 0 ? [[name, '(none)']] : tasks.map((task) => [name, task]))),
          none,
        );
      return exitCodes.ok;
    }),
  );

  add('active_queues', 'the queues that each worker takes jobs from', (options, command) =>
    withApp(command, 'broker', async ({ app }) => {
      const [records, queues] = await Promise.all([app.inspector.workers(), app.inspector.queues()]);
      const priorities = new Map(queues.map(({ name, priority }) => [name, priority]));
      const workers = records.map(workerView).map((worker) => ({
        name: worker.name,
        queues: worker.queues.map((name) => ({ name, priority: priorities.get(name) })),
      }));
      if (options.json === true) printJson({ workers });
      else {
        printTable(
          [{ title: 'WORKER' }, { title: 'QUEUE' }, { title: 'PRIORITY', right: true }],
          workers.flatMap((worker) => worker.queues.map(({ name, priority }) => [worker.name, name, String(priority ?? '')])),
          none,
        );
      }
      return exitCodes.ok;
    }),
  );

  add('stats', 'where each worker runs, since when, and how busy it is', (options, command) =>
    withApp(command, 'broker', async ({ app }) => {
      const workers = (await app.inspector.workers()).map(workerView);
      if (options.json === true) printJson({ workers });
      else {
        printTable(
          [
            { title: 'WORKER' },
            { title: 'HOST' },
            { title: 'PID', right: true },
            { title: 'NODE' },
            { title: 'POOL' },
            { title: 'RUNNING', right: true },
            { title: 'SLOTS', right: true },
            { title: 'UP', right: true },
            { title: 'LEASE' },
          ],
          workers.map((worker) => [
            worker.name,
            worker.host ?? '',
            String(worker.pid ?? ''),
            worker.node ?? '',
            worker.pool ?? '',
            String(worker.running),
            String(worker.concurrency ?? ''),
            age(worker.startedAt),
            worker.alive ? `${duration(worker.leaseExpiresInMs)} left` : 'lost',
          ]),
          none,
        );
      }
      return exitCodes.ok;
    }),
  );
}
