import { describe, expect, it } from 'vitest';
import { type TestApi, withTestApi } from '../../../test/api.ts';
import { createApiKey } from '../../accounts/api-keys.ts';
import { api as marketplaceApi } from './api.ts';
import { UserRates } from './user-rates.ts';

let api: TestApi;
withTestApi((started) => {
  api = started;
});

describe('a user', () => {
  it('who asks for more than his rate is told to wait, with whatever key; others are not', async () => {
    const { database, tasks } = api;
    const slow = marketplaceApi({ database, tasks, timeZone: 'UTC', requestRate: 1 });
    const [one, other] = [await api.person('buyer'), await api.person('buyer')];
    const me = (secret: string) => slow.request('/api/v1/me', { headers: { authorization: `Bearer ${secret}` } });
    const first = await me(one.secret);
    expect(first.status).toBe(200);
    expect(first.headers.get('ratelimit-policy')).toBe('"user";q=2;w=2');
    expect(first.headers.get('ratelimit')).toBe('"user";r=1;t=1');
    const { secret } = await createApiKey(database, one.user, 'second');
    const answers = [];
    for (let time = 0; time < 5; time += 1) answers.push(await me(secret));
    const refused = answers.at(-1) as Response;
    expect(refused.status).toBe(429);
    expect(await refused.json()).toMatchObject({ code: 'TOO_MANY_REQUESTS' });
    expect(refused.headers.get('retry-after')).toBe('1');
    expect(refused.headers.get('ratelimit')).toMatch(/^"user";r=0;t=[12]$/);
    expect((await me(other.secret)).status).toBe(200);
  });
});

describe('the rates of users', () => {
  it('let so many come at once, and so many a second', () => {
    let now = 5_000;
    const rates = new UserRates({ perSecond: 10, now: () => now });
    for (let left = 19; left >= 0; left -= 1) expect(rates.take(1)).toMatchObject({ left, waitMs: 0 });
    expect(rates.take(1)).toEqual({ left: 0, fullMs: 2_000, waitMs: 100 });
    // What is refused costs nothing.
    expect(rates.take(1).waitMs).toBe(100);
    expect(rates.take(2)).toEqual({ left: 19, fullMs: 100, waitMs: 0 });
    now += 250;
    expect([rates.take(1).waitMs, rates.take(1).waitMs, rates.take(1).waitMs]).toEqual([0, 0, 50]);
    now += 60_000;
    expect(rates.take(1)).toEqual({ left: 19, fullMs: 100, waitMs: 0 });
  });

  it('are kept of so many users at most, those who called last', () => {
    const rates = new UserRates({ perSecond: 1, users: 3, now: () => 0 });
    for (let user = 0; user < 1_000; user += 1) rates.take(user);
    expect(rates.size).toBe(3);
    expect([rates.take(999).left, rates.take(0).left]).toEqual([0, 1]);
  });
});
