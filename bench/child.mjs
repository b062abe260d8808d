/**
 * One contestant, once: told over the channel to its parent what to do, it does it in a process of its own and sends
 * back what came of it. Ends when the parent does.
 */
import { loadContestant } from './contestants/contestants.mjs';
import { loadMeasurement } from './measurements/measurements.mjs';
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

async function obey({ order, contestant, url, measurement, params }) {
  const { open } = await loadContestant(contestant);
  if (order === 'load') return undefined;
  const session = await open(url);
  const tools = await makeTools(url, session);
  if (order === 'fill') {
    await tools.fill(params.filled);
    await tools.verifyWaiting(params.filled);
    await session.close();
    return tools.settle();
  }
  const { run } = await loadMeasurement(measurement);
  return run(tools, params);
}
