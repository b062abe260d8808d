/** Turns the runs into figures: median and spread of each contestant, as tables for people and as JSON. */
import { cpus, loadavg, totalmem } from 'node:os';

export const serverTitles = { postgres: 'Postgres', redis: 'Redis' };

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export function machine() {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    loadAtStart: loadavg()[0],
  };
}

/**
 * Sums up one case of one measurement.
 *
 * @param on the server
 * @param runs what was measured: { entrant, round, values } or, when it failed, { entrant, round, error }
 * @param first the summary of the measurement's first case, when this is a later one
 */
export function summarize(on, measurement, { label, filled, jobs }, runs, first) {
  const entrants = [...new Map(runs.map(({ entrant }) => [entrant.label, entrant])).values()];
  const { metrics, ratioTo } = measurement.about;
  const rows = entrants.map((entrant) => {
    const own = runs.filter((run) => run.entrant.label === entrant.label);
    const good = own.filter((run) => run.values !== undefined);
    const row = {
      label: entrant.label,
      contestant: entrant.contestant,
      peer: entrant.contestant !== 'taktline' && entrant.about.peer !== false,
      node: entrant.node.version,
      runs: good.length,
      figures: {},
      notes: [],
      errors: [],
    };
    for (const { error } of own) if (error !== undefined) row.errors.push(error);
    for (const { values } of good) if (values.note !== undefined) row.notes.push(values.note);
    if (good.length === 0) return row;
    row.lines = good.at(-1).values.lines;
    if (own[0].jobs !== (jobs ?? filled)) row.jobs = own[0].jobs;
    for (const { key } of metrics) row.figures[key] = spread(good.map(({ values }) => values[key]));
    row.each = good.map(({ round, values }) => ({ round, ...values, lines: undefined }));
    const base = first?.rows.find((one) => one.label === row.label);
    const ratios = row.each.flatMap((one) => {
      const other = base?.each?.find(({ round }) => round === one.round);
      return other === undefined ? [] : [one[ratioTo] / other[ratioTo]];
    });
    if (ratioTo !== undefined && ratios.length > 0) row.figures.ratio = spread(ratios);
    return row;
  });
  return { on, measurement: measurement.about.name, title: measurement.about.title, label, jobs: jobs ?? filled, rows };
}

function spread(values) {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

/** A table for people; the last column compares each with the best of its peers under the same Node.js. */
export function table(measurement, summary) {
  const { metrics, ratioTo } = measurement.about;
  const columns = [...metrics];
  if (summary.rows.some((row) => row.figures.ratio !== undefined)) {
    columns.push({ key: 'ratio', label: 'of the first case', digits: 2, better: metrics.find(({ key }) => key === ratioTo).better });
  }
  const [main] = metrics;
  const lines = [['', 'runs', ...columns.flatMap(({ label }) => [label, 'min - max']), 'to best peer', '']];
  for (const row of summary.rows) {
    const cells = columns.flatMap(({ key, digits = 0 }) => {
      const figure = row.figures[key];
      return figure === undefined
        ? ['failed', '']
        : [number(figure.median, digits), `${number(figure.min, digits)} - ${number(figure.max, digits)}`];
    });
    lines.push([row.label, String(row.runs), ...cells, toBestPeer(summary, row, main), remark(row)]);
  }
  const widths = lines[0].map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  const text = lines.map((line) =>
    line
      .map((cell, column) => (column === 0 || column === line.length - 1 ? cell.padEnd(widths[column]) : cell.padStart(widths[column])))
      .join('  ')
      .trimEnd(),
  );
  const jobs = summary.jobs === undefined ? '' : ` (${summary.jobs.toLocaleString('en')} jobs)`;
  const title = `${summary.title}, on ${serverTitles[summary.on]}${summary.label === '' ? '' : `: ${summary.label}`}${jobs}`;
  const below = summary.rows.flatMap((row) => (row.lines ?? []).map((line) => `  ${row.label}: ${line}`));
  return [title, ...text, ...below].join('\n');
}

function toBestPeer(summary, row, { key, better }) {
  const own = row.figures[key]?.median;
  const peers = summary.rows.filter((one) => one.peer && one.node === row.node && one.figures[key] !== undefined);
  if (own === undefined || peers.length === 0) return '';
  const best = (better === 'more' ? Math.max : Math.min)(...peers.map((one) => one.figures[key].median));
  return `${(own / best).toFixed(2)} x`;
}

function remark({ notes, errors, jobs }) {
  const [error] = errors;
  const [note] = notes;
  return [
    ...(jobs === undefined ? [] : [`with ${jobs.toLocaleString('en')} jobs`]),
    ...(note === undefined ? [] : [`${notes.length} stopped: ${note}`]),
    ...(error === undefined ? [] : [`${errors.length} failed: ${error.split('\n')[0]}`]),
  ].join('; ');
}

function number(value, digits) {
  return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
