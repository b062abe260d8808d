/** Which servers, users and files a URL names, and that what is wrong with one is said without repeating a password. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { describeRedisUrl, parseRedisUrl } from './redis-url.ts';

describe('a Redis URL', () => {
  it('names one server, port 6379 and database 0 unless told otherwise', () => {
    expect(parseRedisUrl('redis://cache')).toEqual({
      topology: 'standalone',
      addresses: [{ host: 'cache', port: 6379 }],
      master: '',
      login: undefined,
      sentinelLogin: undefined,
      database: 0,
      tls: undefined,
    });
    expect(parseRedisUrl('REDIS://[::1]:7000/3')).toMatchObject({ addresses: [{ host: '::1', port: 7000 }], database: 3 });
  });

  it('names Sentinels, their master and the login for each', () => {
    expect(
      parseRedisUrl('redis-sentinel://ann:data@s1,s2:26380/my%20master/2?sentinelUsername=bob&sentinelPassword=watch%26see'),
    ).toMatchObject({
      topology: 'sentinel',
      addresses: [
        { host: 's1', port: 26379 },
        { host: 's2', port: 26380 },
      ],
      master: 'my master',
      database: 2,
      login: { username: 'ann', password: 'data' },
      sentinelLogin: { username: 'bob', password: 'watch&see' },
    });
  });

  it('names nodes of a Cluster', () => {
    expect(parseRedisUrl('valkey-cluster://:secret@n1:7000,n2:7001?tls=true&ca=/etc/ca.pem')).toMatchObject({
      topology: 'cluster',
      addresses: [
        { host: 'n1', port: 7000 },
        { host: 'n2', port: 7001 },
      ],
      login: { username: undefined, password: 'secret' },
      tls: { ca: '/etc/ca.pem', cert: undefined },
    });
  });

  it.each([
    ['rediss://h', { ca: undefined, cert: undefined, key: undefined, servername: undefined }],
    ['valkeys://h?cert=/c&key=/k&servername=cache.example', { ca: undefined, cert: '/c', key: '/k', servername: 'cache.example' }],
    ['redis-sentinel://h/m?tls=false', undefined],
  ])('%s says whether and how TLS is used', (url, tls) => {
    expect(parseRedisUrl(url).tls).toEqual(tls);
  });

  it('gives back every user, password and database, whatever is in it', () => {
    const text = fc.string({ unit: 'grapheme', minLength: 1 }).filter((value) => value.isWellFormed());
    fc.assert(
      fc.property(text, text, fc.nat(15), fc.constantFrom('redis', 'rediss', 'valkey'), (username, password, database, scheme) => {
        const url = `${scheme}://${encodeURIComponent(username)}:${encodeURIComponent(password)}@host/${database}`;
        expect(parseRedisUrl(url)).toMatchObject({ login: { username, password }, database });
        expect(describeRedisUrl(url)).toBe(`redis${scheme === 'rediss' ? 's' : ''}://host:6379/${database}`);
      }),
    );
  });

  it.each([
    ['redis://user@host', 'no password'],
    ['redis://host:0', 'host'],
    ['redis://host:70000', 'host'],
    ['redis://', 'host'],
    ['redis://a,b', 'several hosts'],
    ['redis://host/one', 'database'],
    ['redis://host/1/2', 'database'],
    ['redis-cluster://host/1', 'only database 0'],
    ['redis-sentinel://host', 'no master'],
    ['redis://host?timeout=5', '"timeout"; known are ca, cert'],
    ['redis://host?tls=true', '"tls"'],
    ['redis://host?ca=/x', 'ca but no TLS'],
    ['rediss://host?cert=/x', 'together'],
    ['rediss://host?ca=/x&ca=/y', 'twice'],
    ['rediss://host?ca=', 'empty'],
    ['redis-cluster://host?tls=yes', 'true or false'],
    ['redis-sentinel://host/m?sentinelUsername=x', 'sentinelPassword'],
    ['redis://:%zz@host', 'hexadecimal'],
    ['http://host', 'expected redis://'],
    ['redis:host', 'expected redis://'],
  ])('%s is refused in one line', (url, part) => {
    expect(() => parseRedisUrl(url)).toThrow(
      expect.objectContaining({ code: 'BROKER_URL', message: expect.stringMatching(/^the Redis URL cannot be used: [^\n]+$/) as string }),
    );
    expect(() => parseRedisUrl(url)).toThrow(part);
  });

  it('never repeats a password, percent-encoded as it should be or not', () => {
    const raw = fc.stringMatching(/^[!-~]{0,6}hunter2[!-~]{0,6}$/);
    const rest = fc.constantFrom('@host', '@host:x', '@host,,', '@host/x', '@host?x=1', '@', '@host:6379/0');
    const scheme = fc.constantFrom('redis', 'redis-sentinel', 'redis-cluster', 'valkeys', 'redis+tls');
    fc.assert(
      fc.property(scheme, fc.boolean(), raw, rest, (scheme, encode, password, rest) => {
        const url = `${scheme}://ann:${encode ? encodeURIComponent(password) : password}${rest}`;
        const shown = (() => {
          try {
            return describeRedisUrl(url);
          } catch (error) {
            return String(error);
          }
        })();
        expect(shown).not.toContain('hunter2');
      }),
      { numRuns: 1_000 },
    );
  });
});
