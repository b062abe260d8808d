/** `taktline purge`: removes the jobs that wait in queues. Those that run, and dead letters, stay. */
import type { Command } from 'commander';
import { confirm, mayAsk, Progress } from './confirm.ts';
import { CliError, exitCodes } from './exit-codes.ts';
import { type JsonOption, print, printJson, printTable } from './output.ts';
import { withApp } from './session.ts';
import { parseNames } from './values.ts';

interface Options extends JsonOption {
  readonly queues?: readonly string[];
  readonly force?: boolean;
}

export function addPurge(program: Command): void {
  program
    .command('purge')
    .description('remove all waiting jobs of queues, for good')
    .option('-Q, --queues <names>', 'which queues, separated by commas (default: all)', parseNames)
    .option('-f, --force', 'do not ask')
    .option('-j, --json', 'print a JSON document')
    .action(async (options: Options, command: Command) => {
      mayAsk(options.force);
      process.exitCode = await withApp(command, 'broker', async ({ app }) => {
        const counts = await app.inspector.queues();
        const known = counts.map(({ name }) => name);
        const names = options.queues ?? known;
        // All are checked before the first is emptied.
        const unknown = names.find((name) => !known.includes(name));
        if (unknown !== undefined)
          throw new CliError(exitCodes.usage, `no queue is named ${JSON.stringify(unknown)}; there are ${known.join(', ') || 'none'}`);
        const waiting = counts.filter(({ name }) => names.includes(name)).reduce((sum, { ready, scheduled }) => sum + ready + scheduled, 0);
        await confirm(`remove ${waiting} waiting jobs of ${names.join(', ')} in ${await app.where()} for good?`, options.force);
        const progress = new Progress('removed');
        let removed = 0;
        const queues: { readonly name: string; readonly removed: number }[] = [];
        try {
          for (const name of names) {
            const before = removed;
            const gone = await app.inspector.purge(name, { onProgress: (done) => progress.onProgress(before + done) });
            removed += gone;
            queues.push({ name, removed: gone });
          }
        } finally {
          progress.clear();
        }
        if (options.json === true) printJson({ queues, removed });
        else {
          printTable(
            [{ title: 'QUEUE' }, { title: 'REMOVED', right: true }],
            queues.map(({ name, removed }) => [name, String(removed)]),
            'there are no queues',
          );
          print(`${removed} ${removed === 1 ? 'job was' : 'jobs were'} removed`);
        }
        return exitCodes.ok;
      });
    });
}
