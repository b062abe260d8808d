/**
 * A network that takes time: passes TCP on, each chunk after a delay in each direction, whatever its size, so that only the
 * round trip gets longer and not the bandwidth smaller. A process of its own; it ends when its parent does.
 *
 * Timers of Node.js count whole milliseconds, so a thread sleeps until each chunk is due, in order, and says so.
 */
import { connect, createServer } from 'node:net';
import { Worker } from 'node:worker_threads';

const sleeper = `
  const { parentPort } = require('node:worker_threads');
  const never = new Int32Array(new SharedArrayBuffer(4));
  parentPort.on('message', (due) => {
    const left = due - (performance.timeOrigin + performance.now());
    if (left > 0) Atomics.wait(never, 0, 0, left);
    parentPort.postMessage(undefined);
  });`;

process.on('disconnect', () => process.exit(0));
process.once('message', ({ host, port, delayMs }) => {
  const timer = new Worker(sleeper, { eval: true });
  const queue = [];
  let head = 0;
  const clock = () => performance.timeOrigin + performance.now();

  /** In order, since all wait equally long. */
  function later(deliver) {
    const due = clock() + delayMs;
    queue.push({ due, deliver });
    timer.postMessage(due);
  }

  timer.on('message', () => {
    const time = clock();
    while (head < queue.length && queue[head].due <= time) {
      queue[head].deliver();
      head += 1;
    }
    if (head > 1_000 || head === queue.length) {
      queue.splice(0, head);
      head = 0;
    }
  });

  function pass(from, to) {
    from.on('data', (chunk) => later(() => to.write(chunk)));
    from.on('end', () => later(() => to.end()));
    from.on('error', () => to.destroy());
    from.on('close', () => later(() => to.destroy()));
    from.setNoDelay(true);
  }

  const proxy = createServer((near) => {
    const far = connect(port, host);
    pass(near, far);
    pass(far, near);
  });
  proxy.listen(0, '127.0.0.1', () => process.send({ port: proxy.address().port }));
});
