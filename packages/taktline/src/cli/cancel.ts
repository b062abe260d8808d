/** `taktline cancel`: cancels jobs that wait, and asks those that run to stop (Celery: `control revoke`). */
import type { Command } from 'commander';
import type { CancelReply } from '../broker/broker.ts';
import { exitCodes } from './exit-codes.ts';
import { type JsonOption, printJson, printTable } from './output.ts';
import { withApp } from './session.ts';

const meaning: Readonly<Record<CancelReply, string>> = {
  done: 'cancelled',
  asked: 'it runs: it was asked to stop',
  ended: 'too late: it has ended',
  unknown: 'no job of that id is known',
};

export function addCancel(program: Command): void {
  program
    .command('cancel')
    .description('cancel jobs: those that wait at once, those that run by asking them to stop')
    .argument('<ids...>', 'ids of the jobs')
    .option('--terminate', 'stop by force those that run: the child process of each is killed, where there is one')
    .option('-j, --json', 'print a JSON document')
    .action(async (ids: string[], options: JsonOption & { readonly terminate?: boolean }, command: Command) => {
      process.exitCode = await withApp(command, 'broker', async ({ app }) => {
        const replies = await app.cancel(ids);
        const running = ids.filter((_, index) => replies[index] === 'asked');
        if (options.terminate === true && running.length > 0) await app.control.ask({ verb: 'terminate', ids: running });
        const jobs = ids.map((id, index) => ({ id, reply: replies[index] ?? 'unknown' }));
        if (options.json === true) printJson({ jobs });
        else
          printTable(
            [{ title: 'ID', whole: true }, { title: 'REPLY' }],
            jobs.map(({ id, reply }) => [id, meaning[reply]]),
            '',
          );
        if (replies.includes('unknown')) return exitCodes.notFound;
        return replies.includes('ended') ? exitCodes.failed : exitCodes.ok;
      });
    });
}
