/**
 * Makes a folder whole or not at all, without a lock: it is built beside its place and then takes its name, so that no
 * process ever sees half of it. Of several that build at once the first one's stays, and the others remove their own.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** How long a builder waits for one that began before it: five initdb at once take two cores five seconds. */
const courtesyMs = 5_000;

/**
 * Builds `place`. Fails with the error of `build` unless another process has made the place by then.
 *
 * @param proof a path in the finished place, relative to it, that shows that it is whole
 */
export async function buildAside(place: string, proof: string, build: (aside: string) => Promise<void>): Promise<void> {
  while (await isBeingBuilt(place)) await sleep(50);
  if (await there(join(place, proof))) return;
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

/** No lock: whoever waited in vain, for a builder that was killed or is slow, builds for itself. */
async function isBeingBuilt(place: string): Promise<boolean> {
  for (const name of await readdir(dirname(place))) {
    if (!name.startsWith(`${basename(place)}.new-`)) continue;
    const stats = await there(join(dirname(place), name));
    if (stats && Math.abs(Date.now() - stats.mtimeMs) < courtesyMs) return true;
  }
  return false;
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
