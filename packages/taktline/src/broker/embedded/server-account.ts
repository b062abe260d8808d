/**
 * Which account of the system the embedded server runs as, and what that account can reach.
 * Postgres refuses to run as root, and containers and fresh machines run everything as root: there the server runs as
 * an unprivileged account that exists already. No account is ever made: a library has no business in /etc/passwd.
 */
import type { Stats } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { TaktlineError } from '../../support/taktline-error.ts';

/** The account that a server runs as. `undefined` in its place means: as this process itself. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** What the last part of a path must allow: to go through a folder, or to read a file or folder. */
export const access = { enter: 1, read: 4, readAndEnter: 5 } as const;

/**
 * The account for the server of a folder.
 *
 * @param data the server's files, when there are some: their owner runs the server
 * @param folder the folder of the broker URL: whoever owns it owns its data, so that a first start with sudo locks nobody out
 * @throws TaktlineError `EMBEDDED_POSTGRES` when the data belong to another user, or root finds no unprivileged account
 */
export async function accountFor(data: { path: string; stats: Stats } | undefined, folder: Stats): Promise<Account | undefined> {
  const me = process.getuid?.();
  if (me === undefined) return undefined;
  if (data && data.stats.uid !== me && me !== 0) {
    throw new TaktlineError(
      'EMBEDDED_POSTGRES',
      `${data.path} belongs to another user (uid ${data.stats.uid}; this process is uid ${me}). Run as that user, use another folder, or set BROKER_URL to a Postgres.`,
    );
  }
  if (me !== 0) return undefined;
  const known = await accounts();
  if (data) {
    if (data.stats.uid === 0) {
      throw new TaktlineError(
        'EMBEDDED_POSTGRES',
        `${data.path} belongs to root, and Postgres refuses to run as root: give it, and all in it, back to an unprivileged user with chown -R.`,
      );
    }
    return { uid: data.stats.uid, gid: [...known.values()].find((one) => one.uid === data.stats.uid)?.gid ?? data.stats.gid };
  }
  const owner = folder.uid === 0 ? undefined : [...known.values()].find((one) => one.uid === folder.uid);
  const account = owner ?? known.get('postgres') ?? known.get('nobody');
  if (!account) {
    throw new TaktlineError(
      'EMBEDDED_POSTGRES',
      'Postgres refuses to run as root, and /etc/passwd has neither `postgres` nor `nobody`. Run as an ordinary user, or set BROKER_URL to a Postgres.',
    );
  }
  return account;
}

/** The lines of /etc/passwd. macOS writes nobody's uid as -2, hence the shift to unsigned. */
async function accounts(): Promise<Map<string, Account>> {
  const text = await readFile('/etc/passwd', 'utf8').catch(() => '');
  const fields = text.split('\n').map((line) => line.split(':'));
  return new Map(
    fields.flatMap(([name, , uid, gid]) => (name && uid && gid ? [[name, { uid: Number(uid) >>> 0, gid: Number(gid) >>> 0 }]] : [])),
  );
}

/**
 * Whether the account gets to a path: every folder above lets it through, and the last part allows `wanted`.
 * A clone in /root (0700) fails here, and would fail in initdb with a bare EACCES. Access lists are not read: at worst
 * the files live elsewhere without need.
 *
 * @param path an absolute path without symbolic links
 */
export async function reachable(path: string, account: Account | undefined, wanted: number): Promise<boolean> {
  if (!account) return true;
  const last = await stat(path).catch(() => undefined);
  if (!last || !allows(last, account, wanted)) return false;
  for (let at = dirname(path); ; at = dirname(at)) {
    if (!allows(await stat(at), account, access.enter)) return false;
    if (at === dirname(at)) return true;
  }
}

function allows(stats: Stats, account: Account, wanted: number): boolean {
  const shift = stats.uid === account.uid ? 6 : stats.gid === account.gid ? 3 : 0;
  return ((stats.mode >> shift) & wanted) === wanted;
}
