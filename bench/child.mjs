/**
 * One contestant, once: told over the channel to its parent what to do, it does it in a process of its own and sends
 * back what came of it. Ends when the parent does.
 */
import { loadContestant } from './contestants/contestants.mjs';
import { loadMeasurement } from './measurements/measurements.mjs';
import { openStore } from './server/servers.mjs';
import { makeTools } from './tools.mjs';

process.on('disconnect', () => process.exit(1));
process.once('message', (order) => {
  // Whatever the contestant still has open goes with the process and the database.
  const answer = (reply) => process.send(reply, () => process.exit(0));
  obey(order).then(
    (result) => answer({ result }),
    (error) => answer({ error: error.stack ?? String(error) }),
  );
});

/** @param order.url where the contestant finds its database; `order.direct` is the way there without a delay */
async function obey({ order, on, contestant, url, direct, measurement, params }) {
  const { about, open } = await loadContestant(on, contestant);
  if (order === 'load') return about;
  const store = await openStore(on, direct);
  const session = await open(url);
  const tools = makeTools(store, session, { on, contestant, url });
  if (order === 'fill') {
    await tools.fill(params.filled);
    await tools.verifyWaiting(params.filled);
    if (params.scheduled !== undefined) await tools.fill(params.scheduled, 2, undefined, session.scheduleMany);
    await session.close();
    return store.settle();
  }
  const { run } = await loadMeasurement(measurement);
  return run(tools, params);
}
