/** What a worker has counted as an argument of pulse.lua, and as a minute's hash keeps it. */
import type { JobCount } from '../broker.ts';
import { checkText } from '../job-texts.ts';
import { separator } from './records.ts';

export function packCounts(counts: readonly JobCount[]): string {
  return JSON.stringify(
    counts.map(({ task, queue, outcome, count, waited, ran }) => {
      for (const name of [task, queue, outcome]) checkText(name, 'a name');
      return [task, queue, outcome, count, waited, ran];
    }),
  );
}

/** @param fields `task RS queue RS outcome RS`, and behind it n for the count, w or r and a bucket for a histogram */
export function readCounts(minute: number, fields: Readonly<Record<string, string>>): (JobCount & { readonly minute: number })[] {
  const rows = new Map<string, { count: number; readonly waited: [number, number][]; readonly ran: [number, number][] }>();
  for (const [field, value] of Object.entries(fields)) {
    const at = field.lastIndexOf(separator) + 1;
    const name = field.slice(0, at);
    const row = rows.get(name) ?? { count: 0, waited: [], ran: [] };
    rows.set(name, row);
    const kind = field.slice(at);
    if (kind === 'n') row.count = Number(value);
    else row[kind.startsWith('w') ? 'waited' : 'ran'].push([Number(kind.slice(1)), Number(value)]);
  }
  return [...rows].map(([name, { count, waited, ran }]) => {
    const [task = '', queue = '', outcome = ''] = name.split(separator);
    const inOrder = (histogram: [number, number][]) => histogram.sort(([one], [other]) => one - other);
    return { minute, task, queue, outcome, count, waited: inOrder(waited), ran: inOrder(ran) };
  });
}
