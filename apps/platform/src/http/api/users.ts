/** Users and their keys: the staff makes them, and everybody may look after himself. */
import { z } from '@hono/zod-openapi';
import { type ApiKey, type Caller, createApiKey, isGoodYet, revokeApiKey, revokeApiKeys, selectApiKeys } from '../../accounts/api-keys.ts';
import {
  addUser,
  changeUser,
  line,
  manufacturerOf,
  newUserFields,
  noteVatIdChecked,
  type User,
  userById,
  userFields,
  userRoles,
} from '../../accounts/users.ts';
import type { PlatformDatabase } from '../../database/database.ts';
import { noteActOf } from './caller-acts.ts';
import { ApiError } from './errors.ts';
import { id, instant, instantOf, instantOrNull, pathId } from './fields.ts';
import { before, listOf, pageOf, pageQuery, rowsFor } from './pages.ts';
import { type Api, apiRoute, everybody, json, jsonBody, newApi } from './route.ts';

const tags: [string] = ['Users'];

const userShape = z
  .object({
    id,
    role: z.enum(userRoles),
    name: z.string(),
    email: z.string(),
    address: z.array(z.string()),
    country: z.string(),
    vat_id: z.string().nullable(),
    vat_id_checked_at: instant.nullable().meta({ description: 'Since when it counts for tax; null: not yet.' }),
    created_at: instant,
  })
  .meta({ id: 'User' });

const meShape = z
  .object({
    user: userShape,
    manufacturer: id.nullable().meta({ description: 'The id of the manufacturer that this user acts for; null when there is none.' }),
    key: id.meta({ description: 'The id of the key that was used.' }),
  })
  .meta({ id: 'Me' });

const keyShape = z
  .object({ id, label: z.string(), created_at: instant, revoked_at: instant.nullable() })
  .meta({ id: 'Key', description: 'A key as it can be shown: its secret is not kept.' });

const newKeyShape = z
  .object({
    id,
    label: z.string(),
    secret: z
      .string()
      .meta({ description: 'Keep it: nobody can read it again.', examples: ['tlk_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG'] }),
  })
  .meta({ id: 'NewKey' });

const newUser = z.strictObject({ ...newUserFields, vat_id: userFields.vat_id.optional() }).meta({
  id: 'NewUser',
  examples: [{ role: 'buyer', name: 'Ann Baker', email: 'ann@example.com', address: ['1 High Street', '10115 Berlin'], country: 'DE' }],
});

const userChange = z
  .strictObject({
    name: userFields.name.optional(),
    address: userFields.address.optional(),
    vat_id: userFields.vat_id.nullable().optional(),
  })
  .refine((change) => Object.values(change).some((value) => value !== undefined), { error: 'expected a field to change' })
  .meta({
    id: 'UserChange',
    description: 'What is left out stays as it is. vat_id: null takes it away.',
    examples: [{ name: 'Ann Carter' }],
  });

const checkedVatId = z.strictObject({ vat_id: userFields.vat_id }).meta({ id: 'CheckedVatId', examples: [{ vat_id: 'DE123456789' }] });

const newKey = z
  .strictObject({ label: line(100).meta({ description: 'To know it by.', examples: ['shop'] }) })
  .meta({ id: 'KeyToMake', examples: [{ label: 'shop' }] });

const me = apiRoute(
  { roles: everybody },
  {
    method: 'get',
    path: '/me',
    operationId: 'me',
    summary: 'Who I am',
    tags,
    responses: { 200: json('The user of the key.', meShape) },
  },
);

const create = apiRoute(
  { roles: ['staff'], codes: ['EMAIL_TAKEN', 'VAT_ID_COUNTRY'] },
  {
    method: 'post',
    path: '/users',
    operationId: 'createUser',
    summary: 'Make a user',
    tags,
    request: { body: jsonBody(newUser) },
    responses: { 201: json('The new user. He needs a key.', userShape) },
  },
);

const list = apiRoute(
  { roles: ['staff'] },
  {
    method: 'get',
    path: '/users',
    operationId: 'listUsers',
    summary: 'All users',
    tags,
    request: { query: z.strictObject(pageQuery) },
    responses: { 200: json('A page of users.', listOf(userShape)) },
  },
);

const read = apiRoute(
  { roles: everybody },
  {
    method: 'get',
    path: '/users/{id}',
    operationId: 'readUser',
    summary: 'A user',
    description: 'Only oneself, but for the staff.',
    tags,
    request: { params: pathId },
    responses: { 200: json('The user.', userShape) },
  },
);

const change = apiRoute(
  { roles: everybody, codes: ['VAT_ID_COUNTRY'] },
  {
    method: 'patch',
    path: '/users/{id}',
    operationId: 'changeUser',
    summary: 'Change a user',
    description:
      'Only oneself, but for the staff. Orders that are awarded keep the tax that they have. Another VAT id counts for tax once the staff has checked it.',
    tags,
    request: { params: pathId, body: jsonBody(userChange) },
    responses: { 200: json('The user as he is now.', userShape) },
  },
);

const checkVatId = apiRoute(
  { roles: ['staff'], codes: ['VAT_ID_CHANGED'] },
  {
    method: 'post',
    path: '/users/{id}/check-vat-id',
    operationId: 'checkVatId',
    summary: 'Say that a VAT id was checked',
    description: 'That it is the user’s, such as by VIES. From now on it counts for tax, until it changes.',
    tags,
    request: { params: pathId, body: jsonBody(checkedVatId) },
    responses: { 200: json('The user as he is now.', userShape) },
  },
);

const createKey = apiRoute(
  { roles: everybody },
  {
    method: 'post',
    path: '/users/{id}/keys',
    operationId: 'createKey',
    summary: 'Make a key',
    description: 'Only for oneself, but for the staff.',
    tags,
    request: { params: pathId, body: jsonBody(newKey) },
    responses: { 201: json('The key with its secret, which is shown this once.', newKeyShape) },
  },
);

const listKeys = apiRoute(
  { roles: everybody },
  {
    method: 'get',
    path: '/users/{id}/keys',
    operationId: 'listKeys',
    summary: 'The keys of a user',
    description: 'Only of oneself, but for the staff. Those that are revoked too.',
    tags,
    request: { params: pathId, query: z.strictObject(pageQuery) },
    responses: { 200: json('A page of keys.', listOf(keyShape)) },
  },
);

const revokeKey = apiRoute(
  { roles: everybody },
  {
    method: 'delete',
    path: '/keys/{id}',
    operationId: 'revokeKey',
    summary: 'Revoke a key',
    description: 'Only one of oneself, but for the staff. Twice is once.',
    tags,
    request: { params: pathId },
    responses: { 204: { description: 'It is refused from now on.' } },
  },
);

const revokeKeys = apiRoute(
  { roles: everybody },
  {
    method: 'delete',
    path: '/users/{id}/keys',
    operationId: 'revokeKeys',
    summary: 'Revoke all keys of a user',
    description: 'Only of oneself, but for the staff: for one whose key has got into other hands, which may have made further keys.',
    tags,
    request: { params: pathId },
    responses: { 204: { description: 'They are refused from now on.' } },
  },
);

export function users(database: PlatformDatabase): Api {
  const api = newApi();

  api.openapi(me, async (c) => {
    const { user, key } = c.get('caller');
    const manufacturer = (await manufacturerOf(database, user)) ?? null;
    return c.json({ user: answerOf(await userById(database, user)), manufacturer, key }, 200);
  });

  api.openapi(create, async (c) => {
    const user = await database.transaction().execute(async (transaction) => {
      const added = await addUser(transaction, c.req.valid('json'));
      const subject = `user:${added.id}`;
      await noteActOf(transaction, c.get('caller'), { action: 'user.create', subject, data: { role: added.role } });
      return added;
    });
    return c.json(answerOf(user), 201);
  });

  api.openapi(list, async (c) => {
    const page = c.req.valid('query');
    const rows = await database
      .selectFrom('users')
      .selectAll()
      .where('id', '<', before(page))
      .orderBy('id', 'desc')
      .limit(rowsFor(page))
      .execute();
    const { rows: shown, next } = pageOf(rows, page);
    return c.json({ items: shown.map(answerOf), next }, 200);
  });

  api.openapi(read, async (c) => {
    const { id: user } = c.req.valid('param');
    mayLookAfter(c.get('caller'), user);
    return c.json(answerOf(await userById(database, user)), 200);
  });

  api.openapi(change, async (c) => {
    const { id: user } = c.req.valid('param');
    mayLookAfter(c.get('caller'), user);
    const asked = c.req.valid('json');
    const changed = await database.transaction().execute(async (transaction) => {
      const fields = Object.keys(asked);
      await noteActOf(transaction, c.get('caller'), { action: 'user.change', subject: `user:${user}`, data: { fields } });
      return changeUser(transaction, user, asked);
    });
    return c.json(answerOf(changed), 200);
  });

  api.openapi(checkVatId, async (c) => {
    const { id: user } = c.req.valid('param');
    const checked = await database.transaction().execute(async (transaction) => {
      await noteActOf(transaction, c.get('caller'), { action: 'user.check-vat-id', subject: `user:${user}` });
      return noteVatIdChecked(transaction, user, c.req.valid('json').vat_id);
    });
    return c.json(answerOf(checked), 200);
  });

  api.openapi(createKey, async (c) => {
    const { id: user } = c.req.valid('param');
    mayLookAfter(c.get('caller'), user);
    const { label } = c.req.valid('json');
    const key = await database.transaction().execute(async (transaction) => {
      if (!(await isGoodYet(transaction, c.get('caller')))) throw new ApiError('UNAUTHORISED');
      await userById(transaction, user);
      const made = await createApiKey(transaction, user, label);
      await noteActOf(transaction, c.get('caller'), { action: 'key.create', subject: `user:${user}`, data: { made: made.id } });
      return made;
    });
    return c.json({ id: key.id, label, secret: key.secret }, 201);
  });

  api.openapi(listKeys, async (c) => {
    const { id: user } = c.req.valid('param');
    mayLookAfter(c.get('caller'), user);
    await userById(database, user);
    const page = c.req.valid('query');
    const rows = await selectApiKeys(database)
      .where('user_id', '=', user)
      .where('id', '<', before(page))
      .orderBy('id', 'desc')
      .limit(rowsFor(page))
      .execute();
    const { rows: shown, next } = pageOf(rows, page);
    return c.json({ items: shown.map(keyAnswerOf), next }, 200);
  });

  api.openapi(revokeKey, async (c) => {
    const { id: key } = c.req.valid('param');
    await database.transaction().execute(async (transaction) => {
      const found = await selectApiKeys(transaction).where('id', '=', key).executeTakeFirst();
      if (found === undefined) throw new ApiError('NOT_FOUND');
      mayLookAfter(c.get('caller'), found.user_id);
      if (!(await revokeApiKey(transaction, key))) return;
      const subject = `user:${found.user_id}`;
      await noteActOf(transaction, c.get('caller'), { action: 'key.revoke', subject, data: { revoked: key } });
    });
    return c.body(null, 204);
  });

  api.openapi(revokeKeys, async (c) => {
    const { id: user } = c.req.valid('param');
    mayLookAfter(c.get('caller'), user);
    await database.transaction().execute(async (transaction) => {
      await userById(transaction, user);
      const revoked = await revokeApiKeys(transaction, user);
      await noteActOf(transaction, c.get('caller'), { action: 'key.revoke_all', subject: `user:${user}`, data: { revoked } });
    });
    return c.body(null, 204);
  });

  return api;
}

/** Somebody else is not there, but for the staff. @throws ApiError `NOT_FOUND` */
function mayLookAfter({ user, role }: Caller, other: number): void {
  if (user !== other && role !== 'staff') throw new ApiError('NOT_FOUND');
}

function answerOf({ address, vat_id_checked_at, created_at, ...user }: User): z.infer<typeof userShape> {
  return { ...user, address: [...address], vat_id_checked_at: instantOrNull(vat_id_checked_at), created_at: instantOf(created_at) };
}

function keyAnswerOf({ id, label, created_at, revoked_at }: ApiKey): z.infer<typeof keyShape> {
  return { id, label, created_at: instantOf(created_at), revoked_at: instantOrNull(revoked_at) };
}
