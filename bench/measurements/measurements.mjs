/**
 * What is measured. A measurement is a module of this folder with
 *
 *   about             { name, title, metrics, ratioTo, on } where each metric has key, label, better ('more' or 'less') and
 *                     digits; `ratioTo` names a metric of which each later case is shown in parts of the first case too;
 *                     `on` lists the servers that it is for, when not for all
 *   cases(scale, on)  what it is measured with on that server, one table each: a label, the parameters of run(), and what the
 *                     benchmark prepares: `filled` jobs that wait in the database beforehand, and `scheduled` ones beside
 *                     them; `settings` of the server that differ; `roundTripMs` that the network takes longer.
 *                     `scale` is 'short' or 'full'
 *   run(tools, case)  measures once, in a child process with a database of its own; gives the metrics, and maybe a
 *                     `note` that is shown beside them, and `lines` of the last run that are shown below. The tools are those
 *                     of ../tools.mjs.
 */

export const measurementNames = [
  'enqueue-one',
  'enqueue-concurrent',
  'enqueue-bulk',
  'process',
  'processes',
  'pools',
  'pools-cpu',
  'recycling',
  'latency',
  'load',
  'bytes',
  'depth',
  'conditions',
  'server-time',
  'held',
];

export function loadMeasurement(name) {
  if (!measurementNames.includes(name)) throw new Error(`no measurement is named ${name}: there are ${measurementNames.join(', ')}`);
  return import(`./${name}.mjs`);
}
