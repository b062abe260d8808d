/** What a child process of Taktline's pool loads. */
import { now } from '../clock.mjs';
import { reportStarts } from '../start-reports.mjs';
import { load, makeApp, poolTask } from './taktline-build.mjs';

const record = reportStarts();
const perform = poolTask();

const run = ({ n }, id) => {
  record(n, now(), id);
  return perform();
};

// One that is replaced ends before its next report.
export const { app } = makeApp(await load(process.env.BENCH_POOL_FOLDER), process.env.BENCH_POOL_URL, run, {
  childStop: () => record.flush(),
});
