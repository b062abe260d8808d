/**
 * Finds the master by its Sentinels. They are asked one after the other, the one that helped last first, since one that is
 * cut off may name a master of the past; a server counts as the master only when it says so itself.
 * See https://redis.io/docs/latest/develop/reference/sentinel-clients/.
 */
import { TaktlineError } from '../../support/taktline-error.ts';
import { isReply, translate, unavailable } from './redis-error.ts';
import { type Address, describeAddress, type RedisTarget } from './redis-url.ts';
import { Wire } from './wire.ts';

/** A frozen Sentinel must not keep us from the others. */
const patienceMs = 1_000;
/** What they said is good for so long. */
const askAgainMs = 500;

export class Sentinels {
  readonly #target: RedisTarget;
  readonly #name: string;
  readonly #closing: AbortSignal;
  #sentinels: readonly Address[];
  #asked: { readonly at: number; readonly master: Promise<Address | undefined> } | undefined;

  constructor(target: RedisTarget, name: string, closing: AbortSignal) {
    this.#target = target;
    this.#name = name;
    this.#closing = closing;
    this.#sentinels = target.addresses;
  }

  /** @throws TaktlineError the first `BROKER_URL` met, or else the last error */
  async locate(reach: (address: Address) => Promise<Wire>): Promise<Wire> {
    const tried = new Set<string>();
    let failure: TaktlineError | undefined;
    for (const sentinel of this.#sentinels) {
      try {
        const master = await this.#ask(sentinel);
        const name = describeAddress(master);
        if (tried.has(name)) continue;
        tried.add(name);
        const wire = await reach(master);
        this.#sentinels = [sentinel, ...this.#sentinels.filter((other) => other !== sentinel)];
        return wire;
      } catch (error) {
        if (failure?.code !== 'BROKER_URL') failure = translate(error);
        this.#sentinels = [...this.#sentinels.filter((other) => other !== sentinel), sentinel];
      }
    }
    throw failure ?? unavailable('no Sentinel answered');
  }

  /** Whether the Sentinels name another master by now. All connections of the process ask at most once in half a second. */
  async outdated(address: Address): Promise<boolean> {
    const now = performance.now();
    if (this.#asked === undefined || now - this.#asked.at > askAgainMs) this.#asked = { at: now, master: this.#current() };
    const master = await this.#asked.master;
    return master !== undefined && (master.host !== address.host || master.port !== address.port);
  }

  async #current(): Promise<Address | undefined> {
    for (const sentinel of this.#sentinels) {
      const master = await this.#ask(sentinel).catch(() => undefined);
      if (master !== undefined) return master;
    }
    return undefined;
  }

  async #ask(sentinel: Address): Promise<Address> {
    const { master, sentinelLogin: login, tls } = this.#target;
    const options = { name: this.#name, login, database: 0, tls, timeoutMs: patienceMs, signal: this.#closing };
    const wire = await Wire.open(sentinel, options).catch((error: TaktlineError) => {
      if (!error.message.startsWith('Redis refused the login')) throw error;
      throw new TaktlineError('BROKER_URL', `the Sentinels have a login of their own, sentinelPassword in the URL: ${error.message}`);
    });
    try {
      const reply = await wire.send(['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', master]);
      if (reply === null) throw new TaktlineError('BROKER_URL', `the Sentinels know no master named ${JSON.stringify(master)}`);
      const [host, port] = reply as readonly [string, string];
      return { host, port: Number(port) };
    } finally {
      wire.cut(unavailable('the Sentinel has answered'));
    }
  }
}

/** @throws TaktlineError `BROKER_UNAVAILABLE` when the server is a replica */
export async function mustBeMaster(wire: Wire): Promise<void> {
  const reply = await wire.send(['ROLE']).catch((error: unknown) => {
    // A user who may not ask finds out by READONLY.
    if (isReply(error, 'NOPERM')) return ['master'];
    throw error;
  });
  const role = (reply as readonly unknown[])[0];
  if (role !== 'master') throw unavailable(`${describeAddress(wire.address)} is not the master, but a ${String(role)}`);
}
