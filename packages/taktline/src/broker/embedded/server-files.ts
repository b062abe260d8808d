/**
 * Where the files of a folder's server live, and how they come to be.
 *
 * Normally all is in `<folder>/postgres`: `data`, `password` and `log`, owned by the account that runs the server. As root
 * in a clone that the account cannot reach (a home of mode 0700) they are in `/var/lib/taktline/<hash of the folder's path>`,
 * and `<folder>/postgres-location.txt` says so. Once made, they stay where they are, whatever becomes of the modes.
 */
import { createHash, randomBytes } from 'node:crypto';
import { chmod, chown, mkdir, open, readFile, realpath, rename, stat, writeFile } from 'node:fs/promises';
import { dirname, join, relative, resolve, sep } from 'node:path';
import type { Logger } from '../../support/logger.ts';
import { TaktlineError } from '../../support/taktline-error.ts';
import { buildAside, there } from './build-aside.ts';
import { type Account, access, accountFor, reachable } from './server-account.ts';
import { runBinary } from './server-binaries.ts';

export interface ServerFiles {
  /** The folder of the broker URL, without symbolic links. */
  readonly folder: string;
  /** Holds `data`, `password` and `log`. */
  readonly dir: string;
  readonly data: string;
  readonly password: string;
  readonly log: string;
  readonly account: Account | undefined;
}

/** The superuser of every embedded server. */
export const serverUser = 'taktline';

/** What a task system on a developer's machine wants; a person may edit them in postgresql.conf. Durability stays on. */
const settings = `
# Written by Taktline when it made these data. Edit what you like; a restart of the server reads it.
cluster_name = 'taktline'
max_connections = 200
shared_buffers = '64MB'
max_wal_size = '1GB'
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
log_checkpoints = off
log_error_verbosity = terse   # details would show values of rows, and rows hold inputs of jobs
`;

/**
 * Finds the place of a folder's server files, made or not yet made, and the account for them. Makes the folder.
 *
 * @throws TaktlineError `EMBEDDED_POSTGRES` when the folder cannot be used or belongs to another user
 */
export async function findServerFiles(folder: string, logger: Logger): Promise<ServerFiles> {
  try {
    await mkdir(folder, { recursive: true });
    const real = await realpath(folder);
    const inside = join(real, 'postgres');
    const dir = (await there(inside)) ? inside : await pointedTo(real, logger);
    const found = dir === undefined ? undefined : await there(dir);
    const account = await accountFor(dir !== undefined && found ? { path: dir, stats: found } : undefined, await stat(real));
    const place = dir ?? ((await reachable(real, account, access.enter)) ? inside : join(await outsideFolder(), hashOf(real)));
    if (!(await reachable(dirname(place), account, access.enter))) {
      const other = dir === undefined ? ', or set TAKTLINE_SERVER_FILES to a folder that every user can enter' : '';
      throw new TaktlineError(
        'EMBEDDED_POSTGRES',
        `The account that runs Postgres (uid ${account?.uid}) cannot reach ${place}. Open the folders above it with chmod o+x${other}.`,
      );
    }
    return {
      folder: real,
      dir: place,
      data: join(place, 'data'),
      password: join(place, 'password'),
      log: join(place, 'log'),
      account,
    };
  } catch (error) {
    if (error instanceof TaktlineError) throw error;
    throw new TaktlineError('EMBEDDED_POSTGRES', `The folder ${folder} cannot be used: ${(error as Error).message}`, { cause: error });
  }
}

/** Where a copy of the binaries may live: beside the data of root's folders, or in an ordinary user's own folder. */
export async function copiesFolder(files: ServerFiles): Promise<string> {
  return files.account || process.env['TAKTLINE_SERVER_FILES'] ? outsideFolder() : files.folder;
}

/** The folder for what must live outside of clones. chmod, because the umask may be 077. */
async function outsideFolder(): Promise<string> {
  const dir = resolve(process.env['TAKTLINE_SERVER_FILES'] || '/var/lib/taktline');
  const first = await mkdir(dir, { recursive: true });
  const made = first === undefined ? 0 : relative(dirname(first), dir).split(sep).length;
  for (let at = dir, i = 0; i < made; at = dirname(at), i++) await chmod(at, 0o755);
  return realpath(dir);
}

function hashOf(folder: string): string {
  return createHash('sha256').update(folder).digest('hex').slice(0, 16);
}

const pointerOf = (folder: string) => join(folder, 'postgres-location.txt');
const originOf = (dir: string) => join(dir, 'folder.txt');

/** The place that the folder's pointer names. It counts for a folder that was moved, and not for the copy of a folder. */
async function pointedTo(folder: string, logger: Logger): Promise<string | undefined> {
  const dir = await pointer(folder);
  if (dir === undefined) return undefined;
  if (!(await there(dir))) {
    logger.warn('the data of the embedded Postgres are gone; new ones are made', { folder, missing: dir });
    return undefined;
  }
  const origin = await readFile(originOf(dir), 'utf8').catch(() => folder);
  if (origin === folder) return dir;
  if ((await pointer(origin)) === dir) return undefined;
  await writeFile(originOf(dir), folder).catch(() => undefined);
  return dir;
}

async function pointer(folder: string): Promise<string | undefined> {
  const text = await readFile(pointerOf(folder), 'utf8').catch(() => '');
  return text.split('\n').find((line) => line !== '' && !line.startsWith('#'));
}

/**
 * Makes the data of a new server, unless another process is faster. Data and password are always of one piece.
 *
 * @throws TaktlineError `EMBEDDED_POSTGRES` when initdb fails, with the last lines of its output
 */
export async function createData(files: ServerFiles, bin: string, timeoutMs: number): Promise<void> {
  const { account } = files;
  const give = async (path: string) => account && chown(path, account.uid, account.gid);
  await buildAside(files.dir, join('data', 'PG_VERSION'), async (aside) => {
    const [data, password] = [join(aside, 'data'), join(aside, 'password')];
    await writeFile(password, randomBytes(24).toString('base64url'), { mode: 0o600, flag: 'wx' });
    if (dirname(files.dir) !== files.folder) await writePointer(files, aside);
    await give(password);
    await give(aside);
    const choices = ['--auth=scram-sha-256', '--encoding=UTF8', '--locale=C', '--data-checksums', '--no-instructions'];
    const args = ['-D', data, '-U', serverUser, `--pwfile=${password}`, ...choices];
    await runBinary(bin, 'initdb', args, { account, cwd: aside, timeoutMs });
    await appendDurably(join(data, 'postgresql.conf'), settings);
  });
}

async function writePointer(files: ServerFiles, aside: string): Promise<void> {
  await writeFile(originOf(aside), files.folder);
  const text = `# The Postgres server of this folder cannot reach it, so its data are in the folder below.\n# To start afresh, remove both.\n${files.dir}\n`;
  const draft = `${pointerOf(files.folder)}.${randomBytes(6).toString('hex')}`;
  await writeFile(draft, text);
  await rename(draft, pointerOf(files.folder));
}

async function appendDurably(file: string, text: string): Promise<void> {
  const handle = await open(file, 'a');
  try {
    await handle.appendFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
