/** The one place where what Redis, its client and the network say becomes an error of ours. */
import { TaktlineError } from '../../support/taktline-error.ts';

/** What the server answers when it could not, this time: the same command may be sent again. */
const passing = /^(LOADING|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|READONLY|BUSY|UNBLOCKED|MISCONF|NOREPLICAS|ASK|UNKILLABLE) /;

/** What OpenSSL and Node.js call a certificate that cannot be trusted, a server without TLS, and one that wants a certificate. */
const tlsFailure =
  /^(ERR_TLS_|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|HOSTNAME_MISMATCH|ERR_OSSL_|ERR_SSL_(WRONG_VERSION|PACKET_LENGTH|UNSUPPORTED|NO_|TLSV1|SSLV3_ALERT_(BAD_CERT|CERT|UNSUPP|HANDSHAKE)))/;

/** Our error for one of the server's, of the client's or of the network's. */
export function translate(error: unknown): TaktlineError {
  if (error instanceof TaktlineError) return error;
  const { code } = error as { code?: unknown };
  const said = describe(error);
  // Not as its cause: servers before 6.0 repeat the arguments of a command they do not know, and HELLO has the password.
  const refused = (what: string) => new TaktlineError('BROKER_URL', `${what}: ${said}`);
  if ((typeof code === 'string' && tlsFailure.test(code)) || said.startsWith('SSL_CTX_')) return refused('TLS with Redis failed');
  if (code === 'ENOENT' || code === 'EACCES' || code === 'EISDIR') return refused('a file that the Redis URL names cannot be read');
  if (/^(NOAUTH|WRONGPASS) |AUTH <password> called without|Client sent AUTH/.test(said)) return refused('Redis refused the login');
  if (/^NOPERM |^ERR The user executing the script can't /.test(said)) return refused("Redis forbids this to the URL's user");
  if (said.startsWith('DENIED ')) return refused('Redis is in protected mode');
  if (/^ERR (DB index|invalid DB)/.test(said)) return refused('Redis has no such database');
  if (said.includes('cluster support disabled')) return refused('this Redis is no Cluster, use redis://');
  if (/^(NOPROTO |ERR unknown command .?HELLO)/i.test(said)) return refused('this Redis is too old, 7.0 is the first that will do');
  if (said.startsWith('OOM ')) {
    return new TaktlineError('BROKER_FULL', `Redis has used up its maxmemory and stored nothing: ${said}`);
  }
  if (isReply(error, 'MOVED')) return refused('this Redis is a node of a Cluster, use redis-cluster://');
  return unavailable(passing.test(said) ? `Redis could not do it now: ${said}` : `Redis did not do it: ${said}`);
}

export function unavailable(message: string): TaktlineError {
  return new TaktlineError('BROKER_UNAVAILABLE', message);
}

export function closed(): TaktlineError {
  return new TaktlineError('BROKER_CLOSED', 'the app was closed');
}

/** True for an error reply of this kind, such as NOSCRIPT. */
export function isReply(error: unknown, kind: string): boolean {
  return error instanceof Error && error.message.startsWith(`${kind} `);
}

function describe(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) {
    return [...new Set(error.errors.map((one: unknown) => describe(one)))].join(', ');
  }
  const { message } = error as { message?: unknown };
  return String(message === undefined || message === '' ? error : message)
    .replace(/,? ?with args beginning with.*/s, '')
    .replaceAll(/\s+/g, ' ');
}
