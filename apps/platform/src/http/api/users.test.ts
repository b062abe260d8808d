import { describe, expect, it } from 'vitest';
import { type TestApi, withTestApi } from '../../../test/api.ts';

let api: TestApi;
withTestApi((started) => {
  api = started;
});

let count = 0;
const someone = () => {
  count += 1;
  return {
    role: 'buyer',
    name: 'Björn Dahl',
    email: `bjorn${count}@example.com`,
    address: ['7 Mill Street', '10115 Berlin'],
    country: 'DE',
    vat_id: 'DE123456789',
  };
};

describe('users', () => {
  it('are made by the staff, get a key, and look after themselves', async () => {
    const staff = await api.person('staff');
    const sent = someone();
    const made = await staff.call('POST', '/users', sent);
    expect(made).toMatchObject({ status: 201, body: sent });
    const { id } = made.body;
    const key = await staff.call('POST', `/users/${id}/keys`, { label: 'shop' });
    expect(key).toMatchObject({ status: 201, body: { label: 'shop', secret: expect.stringMatching(/^tlk_/) as string } });
    expect(key.headers.get('cache-control')).toBe('no-store');
    const call = api.withKey(key.body.secret);
    expect((await call('GET', '/me')).body).toMatchObject({ user: { id, ...sent }, manufacturer: null, key: key.body.id });

    expect((await call('PATCH', `/users/${id}`, { vat_id: null, address: ['8 Mill Street'] })).body).toMatchObject({
      name: sent.name,
      vat_id: null,
      address: ['8 Mill Street'],
    });
    expect((await call('PATCH', `/users/${id}`, { name: 'Bo' })).body).toMatchObject({ name: 'Bo', vat_id: null });
    for (const change of [{}, { role: 'staff' }, { email: 'x@example.com' }, { name: null }, { address: [] }]) {
      expect((await call('PATCH', `/users/${id}`, change)).status).toBe(400);
    }

    const own = await call('POST', `/users/${id}/keys`, { label: 'second' });
    expect((await call('DELETE', `/keys/${own.body.id}`)).status).toBe(204);
    expect((await call('DELETE', `/keys/${own.body.id}`)).status).toBe(204);
    expect((await api.withKey(own.body.secret)('GET', '/me')).status).toBe(401);
    const listed = await call('GET', `/users/${id}/keys`);
    expect(listed.body.items).toMatchObject([
      { id: own.body.id, label: 'second', revoked_at: expect.any(String) as string },
      { id: key.body.id, revoked_at: null },
    ]);
    expect(listed.text).not.toMatch(/tlk_|digest|secret/);
    // A key can take itself away.
    expect((await call('DELETE', `/keys/${key.body.id}`)).status).toBe(204);
    expect((await call('GET', '/me')).status).toBe(401);

    const acts = await staff.call('GET', `/audit?subject=user:${id}`);
    expect(acts.body.items.map((act) => (act as unknown as { action: string }).action)).toEqual([
      'key.revoke',
      'key.revoke',
      'key.create',
      'user.change',
      'user.change',
      'key.create',
      'user.create',
    ]);
    expect(acts.text).not.toMatch(/Dahl|Mill|@|DE123|shop|tlk_/);
  });

  it('lose all keys at once, those that were made with another too', async () => {
    const staff = await api.person('staff');
    const one = await api.person('buyer');
    const { secret } = (await one.call('POST', `/users/${one.user}/keys`, { label: 'further' })).body;
    expect((await staff.call('DELETE', `/users/${one.user}/keys`)).status).toBe(204);
    for (const key of [one.secret, secret]) expect((await api.withKey(key)('GET', '/me')).status).toBe(401);
    expect((await staff.call('GET', '/me')).status).toBe(200);
    const [act] = (await staff.call('GET', `/audit?subject=user:${one.user}`)).body.items;
    expect(act).toMatchObject({ action: 'key.revoke_all', data: { revoked: 2 } });
  });

  it('have a VAT id of their own country, which counts once the staff has checked it', async () => {
    const staff = await api.person('staff');
    const refused = { status: 422, body: { code: 'VAT_ID_COUNTRY' } };
    expect(await staff.call('POST', '/users', { ...someone(), country: 'FR' })).toMatchObject(refused);
    const { id } = (await staff.call('POST', '/users', { ...someone(), country: 'GR', vat_id: 'EL123456789' })).body;
    const key = await staff.call('POST', `/users/${id}/keys`, { label: 'shop' });
    const call = api.withKey(key.body.secret);
    expect(await call('PATCH', `/users/${id}`, { vat_id: 'DE111111111' })).toMatchObject(refused);
    const check = (vat_id: string) => staff.call('POST', `/users/${id}/check-vat-id`, { vat_id });
    expect(await check('EL987654321')).toMatchObject({ status: 409, body: { code: 'VAT_ID_CHANGED' } });
    expect((await call('GET', '/me')).body).toMatchObject({ user: { vat_id_checked_at: null } });
    expect(await check('EL123456789')).toMatchObject({ status: 200, body: { vat_id_checked_at: expect.any(String) as string } });
    const checked = { vat_id_checked_at: expect.any(String) as string };
    expect((await call('PATCH', `/users/${id}`, { vat_id: 'EL123456789', name: 'Bo' })).body).toMatchObject(checked);
    expect((await call('PATCH', `/users/${id}`, { vat_id: 'EL987654321' })).body).toMatchObject({ vat_id_checked_at: null });
  });

  it('have names that can be seen', async () => {
    const staff = await api.person('staff');
    expect((await staff.call('POST', '/users', { ...someone(), name: '\u200b' })).status).toBe(400);
    expect((await staff.call('POST', '/users', { ...someone(), address: ['1 High Street', '\u200b'] })).status).toBe(400);
  });

  it('have one email address each, in capitals or not, also at the same time', async () => {
    const staff = await api.person('staff');
    const sent = someone();
    const [one, other] = await Promise.all([
      staff.call('POST', '/users', sent),
      staff.call('POST', '/users', { ...sent, email: sent.email.toUpperCase() }),
    ]);
    expect([one.status, other.status].toSorted()).toEqual([201, 409]);
    const refused = one.status === 409 ? one : other;
    expect(refused.body.code).toBe('EMAIL_TAKEN');
    expect(refused.text).not.toMatch(/@/);
  });

  it('are listed for the staff, the newest first, a page at a time, each once', async () => {
    const staff = await api.person('staff');
    for (let number = 0; number < 5; number += 1) await staff.call('POST', '/users', someone());
    const all = (await staff.call('GET', '/users?limit=100')).body.items.map(({ id }) => id);
    const seen: number[] = [];
    let next: string | null = '';
    while (next !== null) {
      const page = await staff.call('GET', `/users?limit=2${next === '' ? '' : `&cursor=${next}`}`);
      expect(page.body.items.length).toBeLessThanOrEqual(2);
      seen.push(...page.body.items.map(({ id }) => id));
      ({ next } = page.body);
    }
    expect(seen).toEqual(all);
    expect(all).toEqual(all.toSorted((one, other) => other - one));
  });

  it('without a key of theirs cannot be given one, or changed, when they are not there', async () => {
    const staff = await api.person('staff');
    const nobody = 2 ** 40;
    for (const [method, path, body] of [
      ['GET', `/users/${nobody}`, undefined],
      ['PATCH', `/users/${nobody}`, { name: 'x' }],
      ['POST', `/users/${nobody}/keys`, { label: 'x' }],
      ['GET', `/users/${nobody}/keys`, undefined],
      ['DELETE', `/users/${nobody}/keys`, undefined],
      ['DELETE', `/keys/${nobody}`, undefined],
    ] as const) {
      expect((await staff.call(method, path, body)).status).toBe(404);
    }
    expect(await api.database.selectFrom('audit').selectAll().where('subject', '=', `user:${nobody}`).execute()).toEqual([]);
  });
});
