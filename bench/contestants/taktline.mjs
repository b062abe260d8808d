/**
 * This checkout's Taktline. BENCH_TAKTLINE names the folder of another build of it, to measure one while this checkout is being worked
 * on. BENCH_WATCHED=1 lets somebody listen to the workers' events.
 */
import { resolve } from 'node:path';
import { openBuild } from './taktline-build.mjs';

const folder = process.env.BENCH_TAKTLINE ?? resolve(import.meta.dirname, '../../packages/taktline');
const watched = process.env.BENCH_WATCHED === '1';

export const about = {
  name: 'taktline',
  folder,
  keepsResults: true,
  tuned: `defaults; enqueueMany of 10,000${watched ? '; somebody listens to events' : ''}`,
};

export const open = (url) => openBuild(folder, url, watched);
