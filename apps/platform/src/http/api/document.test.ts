/** The OpenAPI document: it has every route, and a program can read it. That answers are as it says is checked wherever the API is called. */
import type { z } from '@hono/zod-openapi';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestApi, type TestApi } from '../../../test/api.ts';
import { startPostgres, type TestPostgres } from '../../../test/database.ts';
import { api as marketplaceApi } from './api.ts';

interface Content {
  readonly content?: Readonly<Record<string, { readonly schema?: object }>>;
  readonly description?: string;
}

interface Operation {
  readonly operationId?: string;
  readonly summary?: string;
  readonly tags?: readonly string[];
  readonly security?: readonly Readonly<Record<string, unknown>>[];
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly required: boolean; readonly schema: object }[];
  readonly requestBody?: Content & { readonly required?: boolean };
  readonly responses: Readonly<Record<string, Content>>;
}

interface Document {
  readonly openapi: string;
  readonly info: { readonly title: string; readonly version: string };
  readonly tags: readonly { readonly name: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: object; readonly securitySchemes: object };
}

let postgres: TestPostgres;
let api: TestApi;
let document: Document;
beforeAll(async () => {
  postgres = await startPostgres();
  api = await startTestApi(postgres);
  document = (await api.request('GET', '/openapi.json')).body as unknown as Document;
});
afterAll(async () => {
  await api.stop();
  await postgres.stop();
});

const operations = () =>
  Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ name: `${method.toUpperCase()} ${path}`, path, method, operation })),
  );

/** Every object in it. */
function* objects(value: unknown): Generator<Readonly<Record<string, unknown>>> {
  if (typeof value !== 'object' || value === null) return;
  if (!Array.isArray(value)) yield value as Readonly<Record<string, unknown>>;
  for (const inner of Object.values(value)) yield* objects(inner);
}

describe('the document', () => {
  it('has every route that is registered, and no other', () => {
    const registered = new Set(
      api.server.routes.flatMap(({ method, path }) =>
        method !== 'ALL' && path.startsWith('/api/v1/') ? [`${method} ${path.replaceAll(/:(\w+)/g, '{$1}')}`] : [],
      ),
    );
    const named = operations().map(({ name }) => name);
    expect(named.toSorted()).toEqual([...registered, 'POST /webhooks/payments'].toSorted());
    expect(registered.size).toBeGreaterThan(35);
  });

  it('is OpenAPI 3.1, and each operation says what it takes and answers', () => {
    expect(document.openapi).toBe('3.1.0');
    expect(document.info).toMatchObject({ title: 'Taktline marketplace', version: '1' });
    const tags = new Set(document.tags.map(({ name }) => name));
    const schemes = Object.keys(document.components.securitySchemes);
    for (const { name, path, method, operation } of operations()) {
      expect(operation.summary, name).toMatch(/^[A-Z].{3,}[^.]$/);
      expect(operation.tags?.length, name).toBe(1);
      for (const tag of operation.tags ?? []) expect(tags, name).toContain(tag);
      for (const scheme of operation.security ?? [{ none: [] }])
        expect([...schemes], name).toEqual(expect.arrayContaining(Object.keys(scheme)));
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, parameter]) => parameter);
      const described = (operation.parameters ?? []).filter((parameter) => parameter.in === 'path');
      expect(
        described.map((parameter) => parameter.name),
        name,
      ).toEqual(inPath);
      for (const parameter of operation.parameters ?? []) expect(parameter.schema, name).toHaveProperty('type');
      if (operation.requestBody !== undefined) {
        expect(operation.requestBody.required, name).toBe(true);
        expect(operation.requestBody.content?.['application/json']?.schema, name).toBeDefined();
        expect(['post', 'put', 'patch'], name).toContain(method);
      }
      const statuses = Object.keys(operation.responses);
      expect(statuses.filter((status) => status.startsWith('2')).length, name).toBeGreaterThan(0);
      for (const [status, answer] of Object.entries(operation.responses)) {
        expect(answer.description, name).toMatch(/\S/);
        if (status === '204') expect(answer.content, name).toBeUndefined();
        else for (const { schema } of Object.values(answer.content ?? { none: {} })) expect(schema, `${name} ${status}`).toBeDefined();
        if (Number(status) >= 400) expect(Object.keys(answer.content ?? {}), name).toEqual(['application/problem+json']);
      }
      if ((operation.security ?? []).some((scheme) => 'key' in scheme))
        expect(statuses, name).toEqual(expect.arrayContaining(['401', '429']));
      if (statuses.includes('429')) expect(operation.responses['429'], name).toHaveProperty('headers.retry-after.description');
    }
    const ids = operations().map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('leads by each $ref to something, and by no schema to nothing', () => {
    let refs = 0;
    for (const one of objects(document)) {
      const ref = one['$ref'];
      if (typeof ref !== 'string') continue;
      refs += 1;
      const target = ref
        .replace('#/', '')
        .split('/')
        .reduce<unknown>((at, part) => (at as Record<string, unknown> | undefined)?.[part], document);
      expect(target, ref).toBeDefined();
    }
    expect(refs).toBeGreaterThan(100);
  });

  it('has patterns that any program can compile, and says of no value that it is two things at once', () => {
    for (const one of objects(document)) {
      if (typeof one['pattern'] === 'string') expect(() => new RegExp(one['pattern'] as string, 'u')).not.toThrow();
      expect(one).not.toHaveProperty('allOf');
      expect(one).not.toHaveProperty('nullable');
      expect(one).not.toHaveProperty('sensitive');
    }
  });

  it('has an example of each body, which the route takes', () => {
    const { database, tasks } = api;
    const { definitions } = marketplaceApi({ database, tasks, timeZone: 'UTC' }).openAPIRegistry;
    let bodies = 0;
    for (const definition of definitions) {
      const content = definition.type === 'route' ? definition.route.request?.body?.content['application/json'] : undefined;
      if (content === undefined || '$ref' in content) continue;
      const schema = content.schema as z.ZodType;
      const { id, examples = [] } = (schema.meta() ?? {}) as { id?: string; examples?: readonly unknown[] };
      expect(examples.length, id).toBeGreaterThan(0);
      for (const example of examples) expect(schema.safeParse(example).error, id).toBeUndefined();
      bodies += 1;
    }
    expect(bodies).toBeGreaterThan(12);
  });

  it('says for whom each route is', () => {
    const { description } = document.paths['/api/v1/orders']?.['post'] as Operation & { description: string };
    expect(description).toContain('For: buyer.');
  });
});
