/** `taktline beat`: runs the schedules until SIGTERM or Ctrl-C. Any number of them may run; one leads. */
import type { Command } from 'commander';
import { defaults } from '../app/settings.ts';
import { logLevels } from '../support/logger.ts';
import { onStopSignals } from '../support/process-signals.ts';
import { answerProbes, type HealthOptions, withHealth } from './health.ts';
import { pairs } from './output.ts';
import { withApp } from './session.ts';
import { parseDuration, setLogLevel } from './values.ts';

interface Options extends HealthOptions {
  readonly lease: number;
  readonly loglevel?: string;
}

export function addBeat(program: Command): void {
  const beat = program
    .command('beat')
    .description('enqueue what is due by the schedules, until SIGTERM or Ctrl-C')
    .option('--lease <duration>', 'how long a silent beat keeps the lead, 2s to 20s', parseDuration, defaults.beatLeaseMs)
    .option('-l, --loglevel <level>', `${logLevels.join(', ')} (default: TAKTLINE_LOG_LEVEL, or info)`);
  withHealth(beat).action(async (options: Options, command: Command) => {
    if (options.loglevel !== undefined) setLogLevel(options.loglevel);
    process.exitCode = await withApp(command, 'tasks', async ({ app, ownSignals }) => {
      const running = app.beat({ lease: options.lease });
      await running.start();
      ownSignals();
      const schedules = await app.schedules.list();
      process.stderr.write(
        `${pairs([
          ['beat', `${schedules.length} ${schedules.length === 1 ? 'schedule' : 'schedules'}`],
          ['broker', await app.where()],
          ['schedules', schedules.map(({ name }) => name).join(', ') || 'none yet: add one with taktline schedule add'],
          ['stop', 'SIGTERM or Ctrl-C; another beat leads at once'],
        ])}\n`,
      );
      const server = await answerProbes(options, () => Promise.resolve({ beat: running.health() }));
      const code = await new Promise<number>((done) => {
        onStopSignals({ gently: () => running.stop(), atOnce: () => running.stop(), done });
      });
      await server?.close();
      return code;
    });
  });
}
