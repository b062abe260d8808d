/**
 * Who runs: each chosen contestant under each version of Node.js that is there and can load it. The versions are the
 * one that runs the benchmark and the one of the npm package `node`.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { runChild } from './child-process.mjs';
import { contestantsOn } from './contestants/contestants.mjs';

const packaged = fileURLToPath(new URL('./node_modules/node/bin/node', import.meta.url));
const loadLimitMs = 60_000;

/**
 * @param on the server
 * @param majors the major versions of Node.js that are wanted; undefined means all that are there
 * @returns what runs, { label, contestant, about, node: { major, version, path } }, and what does not, { label, reason }
 */
export async function findEntrants(on, contestants, majors, newestOnly) {
  const runtimes = await findRuntimes();
  const missing = majors?.find((major) => !runtimes.some((runtime) => runtime.major === major));
  if (missing !== undefined)
    throw new Error(`there is no Node.js ${missing}: there are ${runtimes.map(({ version }) => version).join(', ')}`);
  const nodes = majors === undefined ? runtimes.slice(newestOnly ? -1 : 0) : runtimes.filter(({ major }) => majors.includes(major));
  const entrants = [];
  const absent = [];
  for (const node of nodes) {
    for (const contestant of contestants.filter((name) => contestantsOn(on).includes(name))) {
      const ofNode = `${contestant} (Node ${node.version.slice(1)})`;
      try {
        const about = await runChild(node.path, { order: 'load', on, contestant }, { limitMs: loadLimitMs });
        // What does not run in Node.js is the same under each.
        if (about.runtime !== undefined && node !== nodes.at(-1)) continue;
        entrants.push({ label: about.runtime === undefined ? ofNode : `${contestant} (${about.runtime})`, contestant, about, node });
      } catch (error) {
        if (!absent.some(({ reason }) => reason === error.message)) absent.push({ label: ofNode, reason: error.message });
      }
    }
  }
  return { entrants, absent };
}

/** What the contestants say of themselves, and the versions that they are. */
export async function describe(entrants) {
  const all = new Map(entrants.map(({ contestant, about }) => [contestant, about]));
  return Promise.all(
    [...all.values()].map(async (about) => {
      if (about.version !== undefined) return about;
      const { version, engines } = JSON.parse(await readFile(resolve(import.meta.dirname, about.folder, 'package.json'), 'utf8'));
      return { ...about, version, engines: `Node ${engines?.node}` };
    }),
  );
}

/** Oldest first, one for each major version. */
async function findRuntimes() {
  const found = [{ version: process.version, path: process.execPath }];
  if (existsSync(packaged)) found.push({ version: (await promisify(execFile)(packaged, ['--version'])).stdout.trim(), path: packaged });
  const byMajor = new Map();
  for (const { version, path } of found) {
    const major = Number(/^v(\d+)/.exec(version)[1]);
    if (!byMajor.has(major)) byMajor.set(major, { major, version, path });
  }
  return [...byMajor.values()].sort((a, b) => a.major - b.major);
}
