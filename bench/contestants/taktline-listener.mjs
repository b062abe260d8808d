/** Listens to the events of all workers, and counts them. Ends with its parent. */
import { setTimeout as sleep } from 'node:timers/promises';
import { load } from './taktline-build.mjs';

const settleMs = 2_000;

const [folder, brokerUrl] = process.argv.slice(2);
const { attachApp, silentLogger } = await load(folder);
process.on('disconnect', () => process.exit());
const app = attachApp({ brokerUrl, logger: silentLogger });
let heard = 0;
await app.inspector.watch(() => {
  heard += 1;
});
process.on('message', () => process.send({ heard }));
// What its own start costs is no part of what is measured.
await sleep(settleMs);
process.send({ listens: true });
