/**
 * The secret that signs unsubscribe links, for installations that were given none: made once, kept in the platform's
 * folder, readable by its owner only. Links in mails that went out must stay valid, so it is never made anew.
 */
import { randomBytes } from 'node:crypto';
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const fileName = 'unsubscribe-secret';

/**
 * Reads the secret, and makes it when there is none. Several processes may do so at once: all get the same.
 *
 * @throws when the folder cannot be written, or the file holds something else
 */
export async function keptUnsubscribeSecret(folder: string): Promise<string> {
  const file = join(folder, fileName);
  const found = await read(file);
  if (found !== undefined) return found;
  await mkdir(folder, { recursive: true });
  const draft = `${file}.${process.pid}.${randomBytes(4).toString('hex')}`;
  await writeFile(draft, randomBytes(32).toString('hex'), { mode: 0o600, flag: 'wx' });
  try {
    // Complete or not there: a link fails when somebody else was first.
    await link(draft, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    await rm(draft, { force: true });
  }
  const made = await read(file);
  if (made === undefined) throw new Error(`${file} was removed while it was made`);
  return made;
}

async function read(file: string): Promise<string | undefined> {
  try {
    const text = (await readFile(file, 'utf8')).trim();
    if (text.length < 32)
      throw new Error(
        `${file} does not hold a secret of at least 32 characters. Restore it, or remove it and give up the links in mails already sent`,
      );
    return text;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
