/**
 * The thread in which HiGHS runs, see solver.ts: it makes the first assignment better, by the greedy way and then by polishing, has
 * HiGHS go on from there, and sends what is found and what is proven as it goes, so that both are known even when the thread is
 * terminated.
 */
import { createRequire } from 'node:module';
import { parentPort, workerData } from 'node:worker_threads';
import type HighsPackage from 'highs';
import type { Highs, Model } from 'highs';
import { best, boundOf, worthOf } from './assignment-problem.ts';
import { greedy } from './greedy.ts';
import { polish } from './polish.ts';
import { columnsOf, picksOf, programmeOf } from './programme.ts';
import type { SolverTask, ThreadMessage } from './solver.ts';

// Required, not imported: its types are those of its CommonJS half, where the function is under `default`.
const loadHighs: typeof HighsPackage.default = createRequire(import.meta.url)('highs');

/** The rest is the solver's. */
const polishShare = 0.2;

const task = workerData as SolverTask;
const begun = performance.now();
const { problem } = task;
const first = best(problem, task.first, greedy(problem));
send({ kind: 'found', picks: first });
const polished = polish(problem, first, () => performance.now() - begun >= polishShare * task.timeLimitMs);
send({ kind: 'found', picks: polished });
const highs = await loadHighs();
highs.withModel((model) => run(highs, model));

function send(message: ThreadMessage): void {
  parentPort?.postMessage(message);
}

function run(highs: Highs, model: Model): void {
  const { constants } = highs;
  model.passModel(programmeOf(problem, highs));
  model.options.set({
    output_flag: false,
    // It takes a second with a thousand orders, and leaves a programme for which the bound falls more slowly.
    presolve: 'off',
    // Seconds between the bounds that are sent.
    mip_min_logging_interval: 0.5,
    time_limit: Math.max(0, task.timeLimitMs - (performance.now() - begun)) / 1_000,
    // The relative gap would count the bonus of every order, beside which the scores are nothing.
    mip_rel_gap: 0,
    mip_abs_gap: task.absoluteGap,
  });
  model.setSolution({ colValue: columnsOf(problem, polished) });
  let bound = boundOf(problem);
  model.run({
    [constants.callbackType.mipLogging]({ data }) {
      if (data.mip_dual_bound === undefined || !(data.mip_dual_bound < bound)) return;
      bound = data.mip_dual_bound;
      send({ kind: 'bound', bound });
    },
  });
  const status = model.getModelStatus();
  const known = new Map<number, 'optimal' | 'time_limit'>([
    [constants.modelStatus.optimal, 'optimal'],
    [constants.modelStatus.timeLimit, 'time_limit'],
  ]).get(status);
  const isSolved = known !== undefined && model.info.get('primal_solution_status') === constants.solutionStatus.feasible;
  if (!isSolved) return send({ kind: 'end', status: 'nothing', bound });
  const picks = picksOf(problem, model.getSolution().colValue);
  const proven = Number(model.info.get('mip_dual_bound'));
  send({ kind: 'end', status: known, bound: Math.min(bound, Math.max(proven, worthOf(problem, picks).objective)), picks });
}
