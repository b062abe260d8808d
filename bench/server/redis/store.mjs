/** A look into a run's Redis, from the measured process: counts, memory, and where its time goes. */
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from 'redis';

const restMs = 5_000;

export async function openStore(url) {
  const client = createClient({ url });
  client.on('error', () => undefined);
  await client.connect();

  async function info(section) {
    const lines = (await client.info(section)).split('\r\n').filter((line) => line.includes(':'));
    return new Map(lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]));
  }

  /** All that is allocated but for the buffers of connections and of the file, which come and go: keys and their tables. */
  async function bytesNow() {
    const memory = await info('memory');
    const buffers = ['mem_clients_normal', 'mem_clients_slaves', 'mem_aof_buffer', 'mem_replication_backlog'];
    return Number(memory.get('used_memory')) - buffers.reduce((sum, name) => sum + Number(memory.get(name) ?? 0), 0);
  }

  return {
    /** The value of a function of the client and what is known of the run. */
    value: (query, context) => query(client, context),
    /** As soon as it stands still: a table that grows is moved bit by bit, and there twice meanwhile. */
    async bytes() {
      let last = await bytesNow();
      for (const until = performance.now() + restMs; performance.now() < until; ) {
        await sleep(250);
        const next = await bytesNow();
        if (Math.abs(next - last) < 1_024) return next;
        last = next;
      }
      return last;
    },
    /** Writes the append-only file anew and waits until it is whole: it is what a copy is made from. */
    async settle() {
      await client.sendCommand(['BGREWRITEAOF']);
      for (;;) {
        const state = await info('persistence');
        if (state.get('aof_rewrite_in_progress') === '0' && state.get('aof_rewrite_scheduled') === '0') break;
        await sleep(20);
      }
      if ((await info('persistence')).get('aof_last_bgrewrite_status') !== 'ok') throw new Error('the append-only file was not rewritten');
    },
    /** Microseconds of CPU that the server has taken since it started, all its threads. */
    async cpuMicros() {
      const cpu = await info('cpu');
      return (Number(cpu.get('used_cpu_user')) + Number(cpu.get('used_cpu_sys'))) * 1e6;
    },
    /** From now on: how often each command is called and how long it takes, and, where `scripts` is true, each call of a script. */
    async watchCommands(scripts) {
      await client.sendCommand(['CONFIG', 'RESETSTAT']);
      if (!scripts) return;
      await client.sendCommand(['CONFIG', 'SET', 'slowlog-max-len', '10000000', 'slowlog-log-slower-than', '0']);
      await client.sendCommand(['SLOWLOG', 'RESET']);
    },
    /** @returns {Promise<{ name: string, calls: number, micros: number }[]>} since watchCommands() */
    async commands() {
      return [...(await info('commandstats'))].map(([name, text]) => {
        const [, calls, micros] = /^calls=(\d+),usec=(\d+)/.exec(text);
        return { name: name.slice('cmdstat_'.length), calls: Number(calls), micros: Number(micros) };
      });
    },
    /** The same for each script, by its digest, since watchCommands(true). */
    async scripts() {
      const found = new Map();
      await client.sendCommand(['CONFIG', 'SET', 'slowlog-log-slower-than', '-1']);
      for (const [, , micros, words] of await client.sendCommand(['SLOWLOG', 'GET', '-1'])) {
        if (!/^(evalsha|fcall)(_ro)?$/i.test(words[0])) continue;
        const sum = found.get(words[1]) ?? { digest: words[1], calls: 0, micros: 0 };
        sum.calls += 1;
        sum.micros += micros;
        found.set(words[1], sum);
      }
      return [...found.values()];
    },
  };
}
