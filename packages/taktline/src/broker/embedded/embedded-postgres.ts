/**
 * An embedded Postgres for a folder, shared by every process on this machine that uses the folder (`embedded:<folder>`).
 *
 * Each member holds one connection with a shared advisory lock. The kernel closes it however the process ends, so the
 * server always knows who is left. Whoever leaves tries for the exclusive lock: the last one gets it, and stops the
 * server while holding it. A newcomer waits for the lock, is cut off by that stop, and starts the server again. A
 * server whose members were all killed runs on, until the next member has joined and left.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { TaktlineError } from '../../support/taktline-error.ts';
import { binariesFor, type EmbeddedOptions, patienceMs, reach, type Wanted, withDefaults } from './reach-server.ts';
import { runningServer, stopServer } from './running-server.ts';
import { ConnectionCut, type ServerConnection } from './server-connection.ts';

export type { EmbeddedOptions } from './reach-server.ts';

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
