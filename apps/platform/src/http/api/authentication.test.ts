import { describe, expect, it } from 'vitest';
import { type TestApi, withTestApi } from '../../../test/api.ts';
import { BadKeys } from './bad-keys.ts';

let api: TestApi;
withTestApi((started) => {
  api = started;
});

describe('a key', () => {
  it('is asked for, and asked for again when it is not good', async () => {
    const { secret, call, key } = await api.person('buyer');
    const from = { 'x-forwarded-for': '203.0.113.1' };
    for (const authorization of [
      '',
      'Bearer',
      `Basic ${secret}`,
      `Bearer ${secret}x`,
      `Bearer ${secret.toUpperCase()}`,
      `Bearer tlk_${'a'.repeat(43)}`,
    ]) {
      const answer = await api.request('GET', '/me', undefined, { ...from, authorization });
      expect(answer).toMatchObject({ status: 401, body: { code: 'UNAUTHORISED', status: 401 } });
      expect(answer.headers.get('www-authenticate')).toBe('Bearer');
      expect(answer.text).not.toContain('tlk_');
    }
    expect((await api.request('GET', '/me')).status).toBe(401);
    expect((await api.request('GET', '/me', undefined, { authorization: `bearer ${secret}` })).status).toBe(200);
    await call('DELETE', `/keys/${key}`);
    expect((await call('GET', '/me')).status).toBe(401);
    expect((await api.request('GET', '/openapi.json')).status).toBe(200);
    // Also where there is no route: nobody learns without a key what there is.
    expect((await api.request('GET', '/nothing')).status).toBe(401);
  });

  it('that is not good twenty times in a minute is told to wait; a good one never is', async () => {
    const { call } = await api.person('buyer');
    const guess = (address: string) =>
      api.request('GET', '/me', undefined, {
        'x-forwarded-for': `198.51.100.1, ${address}`,
        authorization: `Bearer tlk_${'b'.repeat(43)}`,
      });
    for (let time = 0; time < 20; time += 1) expect((await guess('203.0.113.7')).status).toBe(401);
    const refused = await guess('203.0.113.7');
    expect(refused).toMatchObject({ status: 429, body: { code: 'TOO_MANY_BAD_KEYS' } });
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(Number(refused.headers.get('retry-after'))).toBeLessThanOrEqual(60);
    expect((await guess('203.0.113.8')).status).toBe(401);
    expect((await call('GET', '/me', undefined, { 'x-forwarded-for': '203.0.113.7' })).status).toBe(200);
    // Who has sent no key has guessed none.
    expect((await api.request('GET', '/me', undefined, { 'x-forwarded-for': '203.0.113.7' })).status).toBe(401);
  });
});

describe('bad keys', () => {
  it('are counted for a minute, for each address', () => {
    let now = 1_000;
    const bad = new BadKeys({ most: 2, windowMs: 60_000, now: () => now });
    expect([bad.note('a'), bad.note('a'), bad.note('a'), bad.note('b')]).toEqual([undefined, undefined, 60, undefined]);
    now += 59_500;
    expect(bad.note('a')).toBe(1);
    now += 500;
    expect(bad.note('a')).toBeUndefined();
  });

  it('are kept of so many addresses at most, the newest', () => {
    const bad = new BadKeys({ most: 1, addresses: 3 });
    for (let number = 0; number < 1_000; number += 1) bad.note(String(number));
    expect(bad.size).toBe(3);
    expect([bad.note('999'), bad.note('0')]).toEqual([60, undefined]);
  });
});
