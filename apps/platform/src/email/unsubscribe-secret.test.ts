import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { keptUnsubscribeSecret } from './unsubscribe-secret.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'taktline-secret-'));
});
afterEach(() => rm(folder, { recursive: true }));

describe('keptUnsubscribeSecret', () => {
  it('makes one secret, however many ask at once, and keeps it', async () => {
    // They come one shortly after the other, so that some find the folder, some a draft, and some the secret.
    const askers = Array.from({ length: 100 }, async (_, place) => {
      for (let turn = 0; turn < place; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      return keptUnsubscribeSecret(join(folder, 'new'));
    });
    const secrets = new Set(await Promise.all(askers));
    expect(secrets.size).toBe(1);
    expect([...secrets][0]).toMatch(/^[0-9a-f]{64}$/);
    expect(await keptUnsubscribeSecret(join(folder, 'new'))).toBe([...secrets][0]);
    expect(await readdir(join(folder, 'new'))).toEqual(['unsubscribe-secret']);
  });

  it('lets nobody else read it', async () => {
    await keptUnsubscribeSecret(folder);
    expect((await stat(join(folder, 'unsubscribe-secret'))).mode & 0o777).toBe(0o600);
  });

  it('refuses a file that holds no secret, and leaves it as it is', async () => {
    await writeFile(join(folder, 'unsubscribe-secret'), '');
    await expect(keptUnsubscribeSecret(folder)).rejects.toThrow('does not hold a secret');
    expect((await stat(join(folder, 'unsubscribe-secret'))).size).toBe(0);
  });
});
