/** What Redis and the network say, in our words: what may be tried again, what may not, and nothing that is secret. */
import { describe, expect, it } from 'vitest';
import { translate } from './redis-error.ts';

const codeOf = (said: string, code?: string) => translate(Object.assign(new Error(said), code === undefined ? {} : { code })).code;

describe('an error', () => {
  it.each([
    "READONLY You can't write against a read only replica.",
    'LOADING Redis is loading the dataset in memory',
    'MASTERDOWN Link with MASTER is down',
    'CLUSTERDOWN The cluster is down',
    'TRYAGAIN Multiple keys request during rehashing of slot',
    'UNBLOCKED force unblock from blocking operation',
    'BUSY Redis is busy running a script.',
    'MISCONF Redis is configured to save RDB snapshots, but it is unable to persist to disk.',
    'NOREPLICAS Not enough good replicas to write.',
    'ERR max number of clients reached',
  ])('%s may be tried again', (said) => {
    expect(codeOf(said)).toBe('BROKER_UNAVAILABLE');
  });

  it.each([
    ['NOAUTH Authentication required.', undefined],
    ['WRONGPASS invalid username-password pair or user is disabled.', undefined],
    ["NOPERM this user has no permissions to run the 'eval' command", undefined],
    ['DENIED Redis is running in protected mode', undefined],
    ['ERR DB index is out of range', undefined],
    ['ERR This instance has cluster support disabled', undefined],
    ['MOVED 3999 127.0.0.1:6381', undefined],
    ['self-signed certificate in certificate chain', 'SELF_SIGNED_CERT_IN_CHAIN'],
    ["Hostname/IP does not match certificate's altnames", 'ERR_TLS_CERT_ALTNAME_INVALID'],
    ["ENOENT: no such file or directory, open '/ca.pem'", 'ENOENT'],
  ])('%s is final', (said, code) => {
    expect(codeOf(said, code)).toBe('BROKER_URL');
  });

  it('of a full memory is one of its own', () => {
    expect(codeOf("OOM command not allowed when used memory > 'maxmemory'.")).toBe('BROKER_FULL');
  });

  it('of an old server, which repeats what it was sent, keeps the password to itself', () => {
    const error = translate(new Error('ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `default`, `hunter2`, '));
    expect(error).toMatchObject({ code: 'BROKER_URL', message: expect.stringContaining('too old') as string });
    expect(error.cause).toBeUndefined();
    expect(error.message).not.toContain('hunter2');
  });

  it('of the network, on all addresses of a host, is one line', () => {
    const errors = ['connect ECONNREFUSED ::1:6379', 'connect ECONNREFUSED 127.0.0.1:6379'].map((said) => new Error(said));
    expect(translate(new AggregateError(errors))).toMatchObject({
      code: 'BROKER_UNAVAILABLE',
      message: 'Redis did not do it: connect ECONNREFUSED ::1:6379, connect ECONNREFUSED 127.0.0.1:6379',
    });
  });
});
