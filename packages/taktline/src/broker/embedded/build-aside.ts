/**
 * Makes a folder whole or not at all, without a lock: it is built beside its place and then takes its name, so that no
 * process ever sees half of it. Of several that build at once the first one's stays, and the others remove their own.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/**
 * Builds `place`. Fails with the error of `build` unless another process has made the place by then.
 *
 * @param proof a path in the finished place, relative to it, that shows that it is whole
 */
export async function buildAside(place: string, proof: string, build: (aside: string) => Promise<void>): Promise<void> {
  const aside = `${place}.new-${randomBytes(6).toString('hex')}`;
  try {
    await mkdir(aside, { mode: 0o700 });
    await build(aside);
    await rename(aside, place);
    await syncFolder(dirname(place));
  } catch (error) {
    await rm(aside, { recursive: true, force: true });
    if (!(await there(join(place, proof)))) throw error;
  }
}

/** A rename is only as durable as the folder that it happened in, and jobs will be acknowledged on what stands below. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r').catch(() => undefined);
  await handle?.sync().catch(() => undefined);
  await handle?.close();
}

/** Removes from a folder what a process that was killed in {@link buildAside} left behind. Nobody builds for ten minutes. */
export async function removeAbandoned(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!/\.new-[0-9a-f]{12}$/.test(name)) continue;
    const stats = await there(join(folder, name));
    if (stats && Date.now() - stats.mtimeMs > 600_000) await rm(join(folder, name), { recursive: true, force: true });
  }
}

/** The stats of a path, or `undefined` when nothing is there; any other error is thrown. */
export async function there(path: string) {
  return stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
    throw error;
  });
}
