/** A guard process (guard.mjs) seen from the benchmark: starts it, asks it, and lets it take its servers down. */
import { fork } from 'node:child_process';
import { once } from 'node:events';

/** @param kind the folder of the server: postgres or redis */
export async function openGuard(kind) {
  const guard = fork(new URL('./guard.mjs', import.meta.url), [kind], { detached: true, execArgv: [] });
  const ended = once(guard, 'exit');
  const gone = { error: 'the guard of the server ended' };
  const [hello] = await Promise.race([once(guard, 'message'), ended.then(() => [gone])]);
  if (hello.error !== undefined) {
    await ended;
    throw new Error(hello.error);
  }
  let count = 0;
  const asked = new Map();
  const settle = ({ id, result, error }) => {
    const { resolve, reject } = asked.get(id);
    asked.delete(id);
    if (error === undefined) resolve(result);
    else reject(new Error(error));
  };
  guard.on('message', settle);
  guard.on('exit', () => {
    for (const id of asked.keys()) settle({ id, ...gone });
  });
  return {
    ready: hello.ready,
    ask(request, ...args) {
      count += 1;
      const id = count;
      return new Promise((resolve, reject) => {
        asked.set(id, { resolve, reject });
        if (guard.connected) guard.send({ id, request, args });
        else settle({ id, ...gone });
      });
    },
    async close() {
      if (guard.connected) guard.disconnect();
      await ended;
    },
  };
}
