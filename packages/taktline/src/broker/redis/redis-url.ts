/**
 * Reads a Redis URL, for all three ways of running a Redis:
 *
 *     redis://user:password@host:6379/0                               one server; rediss:// with TLS
 *     redis-sentinel://user:password@host:26379,host2:26379/master/0  a master that Sentinels name
 *     redis-cluster://user:password@host:6379,host2:6379              a Cluster, by some of its nodes
 *
 * `valkey` may stand for `redis`. No message repeats what stands where a password could be.
 */
import { TaktlineError } from '../../support/taktline-error.ts';

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface Login {
  readonly username: string | undefined;
  readonly password: string;
}

/** Files are read at each connect, so that a renewed certificate is used without a restart. */
export interface TlsFiles {
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  /** The name that the certificate has to be for; the host of the URL unless given. */
  readonly servername: string | undefined;
}

export interface RedisTarget {
  readonly topology: 'standalone' | 'sentinel' | 'cluster';
  /** The server, the Sentinels, or some nodes of the Cluster. */
  readonly addresses: readonly Address[];
  /** The name that the Sentinels know the master by; empty elsewhere. */
  readonly master: string;
  readonly login: Login | undefined;
  /** For the Sentinels, which never get the other one. */
  readonly sentinelLogin: Login | undefined;
  readonly database: number;
  /** Undefined without TLS. */
  readonly tls: TlsFiles | undefined;
}

const form = {
  standalone: 'redis://user:password@host:6379/0',
  sentinel: 'redis-sentinel://user:password@host1:26379,host2:26379/master/0',
  cluster: 'redis-cluster://user:password@host1:6379,host2:6379',
};

const parameters = {
  standalone: ['ca', 'cert', 'key', 'servername'],
  sentinel: ['tls', 'ca', 'cert', 'key', 'servername', 'sentinelUsername', 'sentinelPassword'],
  cluster: ['tls', 'ca', 'cert', 'key', 'servername'],
};

/** @throws TaktlineError `BROKER_URL` */
export function parseRedisUrl(url: string): RedisTarget {
  const scheme = /^(?:redis|valkey)(s|-sentinel|-cluster)?:\/\//i.exec(url);
  if (scheme === null) throw refused(`expected ${form.standalone}, redis-sentinel://... or redis-cluster://...`);
  const kind = scheme[1]?.toLowerCase();
  const topology = kind === '-sentinel' ? 'sentinel' : kind === '-cluster' ? 'cluster' : 'standalone';
  const { authority, path, query } = split(url.slice(scheme[0].length));
  const at = authority.lastIndexOf('@');
  const addresses = authority
    .slice(at + 1)
    .split(',')
    .map((text) => address(text, topology));
  if (topology === 'standalone' && addresses.length > 1) {
    throw refused(`it names several hosts: that is what ${form.sentinel} and ${form.cluster} are for`);
  }
  const asked = readQuery(query, topology);
  const segments = path.split('/').slice(1).map(decode);
  const master = topology === 'sentinel' ? (segments.shift() ?? '') : '';
  if (topology === 'sentinel' && master === '') throw refused(`it names no master: expected ${form.sentinel}`);
  return {
    topology,
    addresses,
    master,
    login: at === -1 ? undefined : login(authority.slice(0, at)),
    sentinelLogin: sentinelLogin(asked),
    database: database(segments, topology),
    tls: tlsFiles(asked, kind === 's'),
  };
}

/** The URL as it may be shown: without user, password and parameters. */
export function describeRedisUrl(url: string): string {
  const { topology, addresses, master, database, tls } = parseRedisUrl(url);
  const scheme = topology === 'standalone' ? (tls === undefined ? 'redis' : 'rediss') : `redis-${topology}`;
  const hosts = addresses.map(describeAddress).join(',');
  const name = master === '' ? '' : `/${encodeURIComponent(master)}`;
  return `${scheme}://${hosts}${name}${topology === 'cluster' ? '' : `/${database}`}`;
}

/** Whether URLs with this scheme name a Redis. */
export function isRedisScheme(scheme: string): boolean {
  return /^(?:redis|valkey)(s|-sentinel|-cluster)?$/.test(scheme);
}

export function describeAddress({ host, port }: Address): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** Not by the class URL, which reads neither several hosts nor, behind other schemes, a host at all. */
function split(rest: string): { readonly authority: string; readonly path: string; readonly query: string } {
  const [, authority = '', path = '', query = '', fragment = ''] = /^([^/?#]*)([^?#]*)(?:\?([^#]*))?(#.*)?$/s.exec(rest) ?? [];
  // Where a password holds one of these as it is, all that follows would be taken for hosts and parameters, and be shown.
  if (fragment !== '' || `${path}${query}`.includes('@')) {
    throw refused('the characters / ? # @ must be percent-encoded in a user name, a password or a file name');
  }
  return { authority, path, query };
}

function address(text: string, topology: RedisTarget['topology']): Address {
  const [, six, name, port] = /^(?:\[([0-9a-f:.]+)\]|([^:[\]\s%]+))(?::(\d{1,5}))?$/i.exec(text) ?? [];
  const host = six ?? name;
  const number = Number(port ?? (topology === 'sentinel' ? 26_379 : 6_379));
  if (host === undefined || number < 1 || number > 65_535) {
    throw refused(`a host in it cannot be read: expected ${form[topology]}, with special characters of the password percent-encoded`);
  }
  return { host, port: number };
}

function login(text: string): Login | undefined {
  const colon = text.indexOf(':');
  const username = decode(colon === -1 ? text : text.slice(0, colon));
  const password = colon === -1 ? '' : decode(text.slice(colon + 1));
  if (username === '' && password === '') return undefined;
  if (password === '') throw refused('it has a user name and no password; a password alone is written :password@host');
  return { username: username === '' ? undefined : username, password };
}

function readQuery(query: string, topology: RedisTarget['topology']): ReadonlyMap<string, string> {
  const asked = new Map<string, string>();
  for (const pair of query === '' ? [] : query.split('&')) {
    const [name = '', ...value] = pair.split('=');
    if (!parameters[topology].includes(name)) {
      throw refused(`it has an unknown parameter, ${JSON.stringify(name.slice(0, 40))}; known are ${parameters[topology].join(', ')}`);
    }
    if (asked.has(name)) throw refused(`it has the parameter ${name} twice`);
    const decoded = decode(value.join('='));
    if (decoded === '') throw refused(`its parameter ${name} is empty`);
    asked.set(name, decoded);
  }
  return asked;
}

function sentinelLogin(asked: ReadonlyMap<string, string>): Login | undefined {
  const password = asked.get('sentinelPassword');
  const username = asked.get('sentinelUsername');
  if (password === undefined && username !== undefined) throw refused('it has sentinelUsername and no sentinelPassword');
  return password === undefined ? undefined : { username, password };
}

function tlsFiles(asked: ReadonlyMap<string, string>, byScheme: boolean): TlsFiles | undefined {
  const wish = asked.get('tls');
  if (wish !== undefined && wish !== 'true' && wish !== 'false') throw refused('its parameter tls must be true or false');
  const files = { ca: asked.get('ca'), cert: asked.get('cert'), key: asked.get('key'), servername: asked.get('servername') };
  if (byScheme || wish === 'true') {
    if ((files.cert === undefined) !== (files.key === undefined)) throw refused('cert and key must be given together');
    return files;
  }
  const idle = Object.entries(files).find(([, value]) => value !== undefined)?.[0];
  if (idle !== undefined) throw refused(`it has ${idle} but no TLS: use rediss://, or add tls=true to a Sentinel or Cluster URL`);
  return undefined;
}

function database(segments: readonly string[], topology: RedisTarget['topology']): number {
  const [text = '', ...more] = segments;
  if (more.length > 0 || !/^\d{0,5}$/.test(text)) throw refused(`its database is not a number: expected ${form[topology]}`);
  const number = Number(text);
  if (topology === 'cluster' && number !== 0) throw refused('it has a database number, and a Cluster has only database 0');
  return number;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw refused('a % in it is not followed by two hexadecimal digits; a % of a password is written %25');
  }
}

function refused(why: string): TaktlineError {
  return new TaktlineError('BROKER_URL', `the Redis URL cannot be used: ${why}`);
}
