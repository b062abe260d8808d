/** `taktline doctor`: looks at the broker, what works on it, and the application's database, and says what to do about what it finds. */
import type { Command } from 'commander';
import type { App } from '../app/app.ts';
import { examineDatabase } from '../app/database-check.ts';
import type { Finding, QueueCounts } from '../broker/inspector.ts';
import type { ErrorCode } from '../support/taktline-error.ts';
import { errorCode, exitCodes } from './exit-codes.ts';
import { type JsonOption, print, printJson } from './output.ts';
import { withApp } from './session.ts';
import { oneLine } from './terminal.ts';
import { type WorkerView, workerView } from './worker-view.ts';

export function addDoctor(program: Command): void {
  program
    .command('doctor')
    .description('check the broker (version, clock, schema, settings), the workers, and the database of DATABASE_URL; says what to do')
    .option('-j, --json', 'print a JSON document')
    .action(async (options: JsonOption, command: Command) => {
      process.exitCode = await withApp(command, 'broker', async ({ app }) => {
        const [{ findings: ofBroker, error }, database] = await Promise.all([examine(app), examineDatabase(process.env)]);
        const findings = database === undefined ? ofBroker : [...ofBroker, database];
        const ok = findings.every((finding) => finding.ok);
        if (options.json === true) {
          printJson({
            ok,
            findings: findings.map(({ check, ok, detail, advice }) => ({ check, ok, detail, advice: ok ? undefined : advice })),
          });
        } else print(report(findings));
        // After a patient who cannot be reached the command ends as every other one does.
        if (error !== undefined) throw error;
        return ok ? exitCodes.ok : exitCodes.failed;
      });
    });
}

async function examine(app: App): Promise<{ readonly findings: readonly Finding[]; readonly error?: Error }> {
  try {
    const { inspector } = app;
    const [findings, queues, workers] = await Promise.all([inspector.examine(), inspector.queues(), inspector.workers()]);
    return { findings: [...findings, consumers(queues, workers.map(workerView)), lost(workers.map(workerView))] };
  } catch (error) {
    const code = errorCode(error);
    const advice = code === undefined ? undefined : unreachable.get(code);
    if (advice === undefined) throw error;
    const check = code === 'BROKER_SCHEMA' ? 'schema' : 'broker';
    return { findings: [{ check, ok: false, detail: (error as Error).message, advice }], error: error as Error };
  }
}

const unreachable = new Map<ErrorCode, string>([
  ['BROKER_UNAVAILABLE', 'start the server, or correct the URL (BROKER_URL, --broker)'],
  ['BROKER_URL', 'correct the URL (BROKER_URL, --broker)'],
  ['BROKER_SCHEMA', "correct the URL or --namespace, or start the app's worker once: it makes the schema"],
  ['EMBEDDED_POSTGRES', 'see the message, or name a Postgres server in BROKER_URL'],
]);

function consumers(queues: readonly QueueCounts[], workers: readonly WorkerView[]): Finding {
  const served = new Set(workers.filter(({ alive }) => alive).flatMap((worker) => worker.queues));
  const stuck = queues.filter(({ name, ready }) => ready > 0 && !served.has(name));
  return {
    check: 'consumers',
    ok: stuck.length === 0,
    detail:
      stuck.length === 0
        ? 'every queue with waiting jobs has a worker'
        : stuck.map(({ name, ready }) => `${name}: ${ready} waiting, and no worker takes them`).join('; '),
    advice: `start a worker: taktline --app dist/app.js worker -Q ${stuck.map(({ name }) => name).join(',')}`,
  };
}

function lost(workers: readonly WorkerView[]): Finding {
  const gone = workers.filter(({ alive }) => !alive);
  const alive = workers.length - gone.length;
  return {
    check: 'workers',
    ok: gone.length === 0,
    detail: gone.length === 0 ? `${alive} alive` : `${alive} alive, lost: ${gone.map(({ name }) => name).join(', ')}`,
    advice:
      'their jobs run again as soon as another worker is there; find out why they ended without a word (killed, out of memory, cut off)',
  };
}

function report(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ check }) => check.length));
  return findings
    .flatMap(({ check, ok, detail, advice }) => [
      `${ok ? 'ok    ' : 'NOT OK'}  ${check.padEnd(width)}  ${oneLine(detail)}`,
      ...(ok || advice === undefined ? [] : [`${' '.repeat(width + 10)}-> ${oneLine(advice)}`]),
    ])
    .join('\n');
}
