/** One worker of a contestant in a process of its own. It tells its parent the starts, many at a time, and ends when it does. */
import { now } from './clock.mjs';
import { loadContestant } from './contestants/contestants.mjs';
import { makeTask } from './tasks.mjs';

const reportMs = 20;

process.on('disconnect', () => process.exit(1));
process.once('message', (order) => {
  begin(order).then(
    () => process.send({ ready: true }),
    (error) => process.send({ error: error.stack ?? String(error) }, () => process.exit(1)),
  );
});

async function begin({ on, contestant, url, concurrency, task }) {
  let starts = [];
  setInterval(() => {
    if (starts.length > 0) process.send({ starts });
    starts = [];
  }, reportMs);
  const record = (n, at, id) => {
    starts.push([n, at, id]);
  };
  const perform = makeTask(task);
  const { open } = await loadContestant(on, contestant);
  const session = await open(url);
  await session.work({
    concurrency,
    task,
    record,
    async run({ n }, id) {
      record(n, now(), id);
      return perform();
    },
  });
}
