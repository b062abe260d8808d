/**
 * A wave of load past an autoscaled worker: from 2 jobs a second to 37 and back, jobs of 200 ms, children that run one job at a
 * time, from 1 of them to 8, and a target of 5 s for the wait. Prints what the autoscaler decided and what became of the
 * jobs, and draws load, children and the wait of the oldest job.
 *
 *   node autoscaling.mjs [--on=redis] [--svg=../docs/autoscaling.svg]
 */
import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startServer } from './server/servers.mjs';

const { values: options } = parseArgs({
  options: {
    on: { type: 'string', default: 'redis' },
    svg: { type: 'string', default: resolve(import.meta.dirname, '../docs/autoscaling.svg') },
  },
});
const bounds = { min: 1, max: 8, targetWait: '5s' };
const targetMs = 5_000;
const lookMs = 500;
/** Seconds and jobs a second; between two of them it changes evenly. */
const wave = [
  [0, 2],
  [20, 2],
  [50, 37],
  [110, 37],
  [130, 2],
  [190, 2],
];
const seconds = wave.at(-1)[0];

function rateAt(second) {
  const next = wave.findIndex(([at]) => at >= second);
  const [[from, low], [to, high]] = [wave[Math.max(0, next - 1)], wave[next]];
  return to === from ? high : low + ((high - low) * (second - from)) / (to - from);
}

const server = await startServer(options.on);
try {
  const database = await server.createDatabase();
  process.env.BENCH_AUTOSCALING_URL = database.url;
  const decisions = [];
  process.on('log-line', (line) => {
    const { message, from, to, reason } = JSON.parse(line);
    if (message.startsWith('autoscale')) decisions.push({ second: elapsed(), from, to, reason });
  });
  const { app, work, taskMs } = await import('./autoscaling-app.mjs');
  const worker = app.worker({ pool: 'processes', autoscale: bounds, module: new URL('./autoscaling-app.mjs', import.meta.url) });
  await worker.start();
  const began = performance.now();
  function elapsed() {
    return (performance.now() - began) / 1_000;
  }

  const samples = [];
  let over = false;
  const looking = (async () => {
    while (!over) {
      const [queue] = await app.inspector.queues();
      const { children } = worker.pool();
      samples.push({
        second: elapsed(),
        rate: rateAt(Math.min(seconds, elapsed())),
        children: children.length,
        waitMs: queue.oldestWaitMs ?? 0,
      });
      await sleep(lookMs);
    }
  })();

  const handles = [];
  for (let due = 0; due < seconds; due += 1 / rateAt(due)) {
    await sleep(Math.max(0, (due - elapsed()) * 1_000));
    handles.push(work.delay());
  }
  const ids = (await Promise.all(handles)).map(({ id }) => id);
  while ((await app.inspector.queues()).some(({ ready, running }) => ready + running > 0)) await sleep(100);
  over = true;
  await looking;

  const jobs = await Promise.all(ids.map((id) => app.inspector.job(id)));
  const waits = jobs
    .map(({ enqueuedAt, finishedAt }) => Date.parse(finishedAt) - Date.parse(enqueuedAt) - taskMs)
    .toSorted((a, b) => a - b);
  const { recycled, killed, crashed } = worker.pool();
  const firstReaction = decisions.find(({ to, from }) => to > from)?.second ?? 0;
  const after = samples.filter(({ second }) => second > firstReaction);
  for (const { second, from, to, reason } of decisions) console.log(`${second.toFixed(1).padStart(6)} s  ${from} -> ${to}  ${reason}`);
  console.log({
    jobs: ids.length,
    succeeded: jobs.filter(({ state }) => state === 'succeeded').length,
    ranTwice: jobs.filter(({ losses, failures, attempts }) => losses + failures + attempts.length > 0).length,
    killed,
    crashed,
    recycled,
    mostChildren: Math.max(...samples.map(({ children }) => children)),
    childrenAtEnd: samples.at(-1).children,
    oldestWaitMs: {
      most: Math.max(...samples.map(({ waitMs }) => waitMs)),
      mostAfterFirstReaction: Math.max(...after.map(({ waitMs }) => waitMs)),
    },
    waitMs: { p50: waits[Math.floor(waits.length / 2)], p99: waits[Math.floor(waits.length * 0.99)], most: waits.at(-1) },
  });
  await writeFile(options.svg, picture(samples));
  console.log(options.svg);
  await app.close();
  await database.drop();
} finally {
  await server.stop();
}
process.exit();

/** Three panels above each other, over one axis of time. */
function picture(samples) {
  const [width, left, panel, gap] = [760, 60, 110, 34];
  const end = samples.at(-1).second;
  const x = (second) => left + (second / end) * (width - left - 10);
  const panels = [
    { title: 'load, jobs a second', key: 'rate', most: 40, marks: [0, 20, 40], scale: 1, colour: '#2a6fb0' },
    { title: 'children', key: 'children', most: 9, marks: [1, 4, 8], scale: 1, colour: '#2f8f4e' },
    {
      title: 'wait of the oldest job, seconds (dashed: the target)',
      key: 'waitMs',
      most: 6,
      marks: [0, 2.5, 5],
      scale: 1_000,
      colour: '#b5482a',
      dashed: targetMs / 1_000,
    },
  ];
  const height = panels.length * (panel + gap) + 24;
  const body = panels.map(({ title, key, most, marks, scale, colour, dashed }, index) => {
    const top = gap + index * (panel + gap);
    const y = (value) => top + panel - (Math.min(most, value) / most) * panel;
    const steps = samples.flatMap((sample, at) => {
      const now = `${x(sample.second).toFixed(1)},${y(sample[key] / scale).toFixed(1)}`;
      // What is a number of things changes at once.
      return key === 'children' && at > 0 ? [`${x(sample.second).toFixed(1)},${y(samples[at - 1][key] / scale).toFixed(1)}`, now] : [now];
    });
    return [
      `<text x="${left}" y="${top - 8}" font-weight="600">${title}</text>`,
      ...marks.map(
        (mark) =>
          `<line x1="${left}" x2="${width - 10}" y1="${y(mark)}" y2="${y(mark)}" stroke="#ddd"/><text x="${left - 8}" y="${y(mark) + 4}" text-anchor="end">${mark}</text>`,
      ),
      dashed === undefined
        ? ''
        : `<line x1="${left}" x2="${width - 10}" y1="${y(dashed)}" y2="${y(dashed)}" stroke="${colour}" stroke-dasharray="5 4"/>`,
      `<polyline fill="none" stroke="${colour}" stroke-width="1.8" points="${steps.join(' ')}"/>`,
    ].join('\n');
  });
  const ticks = Array.from({ length: Math.floor(end / 30) + 1 }, (_, index) => index * 30).map(
    (second) => `<text x="${x(second)}" y="${height - 6}" text-anchor="middle">${second} s</text>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="12" fill="#333">
<rect width="${width}" height="${height}" fill="#fff"/>
${[...body, ...ticks].join('\n')}
</svg>
`;
}
