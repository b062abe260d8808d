/** Another build of Taktline, to be compared with in the same run: that in the folder BENCH_BEFORE. */
import { openBuild } from './taktline-build.mjs';

const folder = process.env.BENCH_BEFORE;
if (folder === undefined) throw new Error('BENCH_BEFORE names no build');

export const about = {
  name: 'before',
  folder,
  keepsResults: true,
  tuned: 'another build of Taktline; defaults; enqueueMany of 10,000',
  skips: {
    pools: 'it is here for the other measurements',
    'pools-cpu': 'it is here for the other measurements',
    recycling: 'it is here for the other measurements',
  },
};

export const open = (url) => openBuild(folder, url, false);
