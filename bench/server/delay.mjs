/** The delaying proxy (delay-proxy.mjs) seen from the benchmark. */
import { fork } from 'node:child_process';
import { once } from 'node:events';

/** What a chunk takes to get through the proxy when it is not held back, measured on an idle machine. */
const passMs = 0.2;

/**
 * @param url of a server on the loopback
 * @param roundTripMs what a round trip through the proxy takes longer, half of it in each direction
 * @returns the same URL by way of the proxy, and what ends it
 */
export async function startDelay(url, roundTripMs) {
  const proxy = fork(new URL('./delay-proxy.mjs', import.meta.url), { execArgv: [] });
  const ended = once(proxy, 'exit');
  const { hostname, port } = new URL(url);
  proxy.send({ host: hostname, port: Number(port), delayMs: Math.max(0, roundTripMs / 2 - passMs) });
  const [message] = await Promise.race([
    once(proxy, 'message'),
    ended.then(() => {
      throw new Error('the delaying proxy ended');
    }),
  ]);
  const through = new URL(url);
  through.port = message.port;
  return {
    url: through.href,
    async stop() {
      if (proxy.connected) proxy.disconnect();
      await ended;
    },
  };
}
