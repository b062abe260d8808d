/** Masking: wherever a schema or a list marks a field, no person reads it, neither in place nor quoted in free text. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { allSensitive, mask, sensitivityOf } from './sensitive.ts';
import type { InputSchema } from './task.ts';

const secret = z.string().meta({ sensitive: true });
const of = (schema: InputSchema, listed?: readonly string[]) => sensitivityOf(schema, listed);

describe('fields that the schema marks', () => {
  it.each<[string, InputSchema, readonly string[], unknown, unknown]>([
    [
      'a field',
      z.object({ user: z.string(), password: secret }),
      ['password'],
      { user: 'ann', password: 'p' },
      { user: 'ann', password: mask },
    ],
    ['the whole input', secret, ['*'], 'hunter2', mask],
    [
      'a nested field',
      z.object({ a: z.object({ b: secret, c: z.string() }) }),
      ['a.b'],
      { a: { b: 'x', c: 'y' } },
      { a: { b: mask, c: 'y' } },
    ],
    ['an object', z.object({ a: z.object({ b: z.string() }).meta({ sensitive: true }) }), ['a'], { a: { b: 'x' } }, { a: mask }],
    ['elements of an array', z.object({ a: z.array(secret) }), ['a[]'], { a: ['x', 'y'] }, { a: [mask, mask] }],
    [
      'fields of elements',
      z.object({ a: z.array(z.object({ b: secret, c: z.number() })) }),
      ['a[].b'],
      { a: [{ b: 'x', c: 1 }] },
      { a: [{ b: mask, c: 1 }] },
    ],
    ['an array at the top', z.array(z.object({ b: secret })), ['[].b'], [{ b: 'x' }], [{ b: mask }]],
    ['values of a record', z.object({ r: z.record(z.string(), secret) }), ['r[]'], { r: { k: 'x', l: 'y' } }, { r: { k: mask, l: mask } }],
    ['a place of a tuple', z.object({ t: z.tuple([z.string(), secret]) }), ['t[]'], { t: ['x', 'y'] }, { t: [mask, mask] }],
    ['a branch of a union', z.union([z.object({ a: secret }), z.object({ b: z.number() })]), ['a'], { a: 'x' }, { a: mask }],
    [
      'a branch of a discriminated union',
      z.discriminatedUnion('kind', [
        z.object({ kind: z.literal('card'), number: secret }),
        z.object({ kind: z.literal('cash'), amount: z.number() }),
      ]),
      ['number'],
      { kind: 'card', number: '4111' },
      { kind: 'card', number: mask },
    ],
    [
      'either side of an intersection',
      z.intersection(z.object({ a: secret }), z.object({ b: secret })),
      ['a', 'b'],
      { a: 'x', b: 'y' },
      { a: mask, b: mask },
    ],
    ['an optional field', z.object({ a: secret.optional() }), ['a'], { a: 'x' }, { a: mask }],
    ['a nullable field', z.object({ a: secret.nullable() }), ['a'], { a: 'x' }, { a: mask }],
    ['a field with a default', z.object({ a: secret.default('x') }), ['a'], { a: 'y' }, { a: mask }],
    ['a number', z.object({ pin: z.number().meta({ sensitive: true }) }), ['pin'], { pin: 1234 }, { pin: mask }],
    ['a boolean', z.object({ ill: z.boolean().meta({ sensitive: true }) }), ['ill'], { ill: true }, { ill: mask }],
    [
      'a field that is transformed',
      z.object({
        a: z
          .string()
          .transform((text) => text.length)
          .meta({ sensitive: true }),
      }),
      ['a'],
      { a: 'x' },
      { a: mask },
    ],
    [
      'a field beside a date',
      z.object({ on: z.coerce.date(), a: secret }),
      ['a'],
      { on: '2026-01-01', a: 'x' },
      { on: '2026-01-01', a: mask },
    ],
    [
      'a field beside a custom check',
      z.object({ on: z.custom<number>(() => true), a: secret }),
      ['a'],
      { on: 1, a: 'x' },
      { on: 1, a: mask },
    ],
    ['a date', z.object({ born: z.coerce.date().meta({ sensitive: true }) }), ['born'], { born: '1990-05-05' }, { born: mask }],
  ])('%s', (_, schema, paths, input, shown) => {
    const before = structuredClone(input);
    const sensitivity = of(schema);
    expect(sensitivity.paths).toEqual(paths);
    expect(sensitivity.masked(input)).toEqual(shown);
    expect(input).toEqual(before);
  });

  it('of a recursive schema are masked at any depth', () => {
    const folder: z.ZodType = z.object({ name: z.string(), key: secret, inside: z.lazy(() => z.array(folder)) });
    const nested = (depth: number): unknown => ({ name: `n${depth}`, key: `k${depth}`, inside: depth === 0 ? [] : [nested(depth - 1)] });
    const sensitivity = of(folder);
    expect(sensitivity.paths).toContain('key');
    for (const depth of [0, 1, 2, 7]) {
      const shown = JSON.stringify(sensitivity.masked(nested(depth)));
      expect(shown).not.toMatch(/k\d/);
      expect(shown.match(/n\d/g)).toHaveLength(depth + 1);
      expect(sensitivity.scrub(`secret-k${depth} ${nested(depth)}`, { key: `secret-k${depth}` })).toContain(mask);
    }
    expect(
      sensitivity.scrub('could not open with deep-key', { name: 'a', key: 'x', inside: [{ inside: [{ inside: [{ key: 'deep-key' }] }] }] }),
    ).toBe(`could not open with ${mask}`);
  });

  it('of a shared part are masked wherever it is used', () => {
    const address = z.object({ street: secret, city: z.string() }).meta({ id: 'Address' });
    const shown = of(z.object({ from: address, to: z.array(address) })).masked({
      from: { street: 'Main 1', city: 'Bonn' },
      to: [{ street: 'Main 2', city: 'Köln' }],
    });
    expect(shown).toEqual({ from: { street: mask, city: 'Bonn' }, to: [{ street: mask, city: 'Köln' }] });
  });

  it('leave other fields alone, and inputs that do not fit the schema', () => {
    const { masked } = of(z.object({ a: z.object({ b: secret }), r: z.record(z.string(), secret) }));
    for (const input of [null, undefined, 7, 'text', [], {}, { a: null }, { a: 'text' }, { a: [] }, { r: 5 }, { other: { b: 'shown' } }]) {
      expect(masked(input)).toEqual(input);
    }
  });

  it('a field named __proto__ stays data', () => {
    const input: unknown = JSON.parse('{"__proto__":{"password":"p"},"password":"p"}');
    const shown = of(z.object({ password: secret })).masked(input);
    expect(JSON.stringify(shown)).toBe(`{"__proto__":{"password":"p"},"password":"${mask}"}`);
    expect(({} as { password?: string }).password).toBeUndefined();
  });
});

describe('fields that the task lists', () => {
  const plain = z.looseObject({});
  it.each<[string, unknown, unknown]>([
    ['password', { password: 'x', other: 1 }, { password: mask, other: 1 }],
    ['card.number', { card: { number: '4111', brand: 'V' } }, { card: { number: mask, brand: 'V' } }],
    ['items[].email', { items: [{ email: 'a', n: 1 }] }, { items: [{ email: mask, n: 1 }] }],
    ['tokens[]', { tokens: ['a', 'b'] }, { tokens: [mask, mask] }],
    ['by[].token', { by: { ann: { token: 'a' }, bob: { token: 'b' } } }, { by: { ann: { token: mask }, bob: { token: mask } } }],
    ['matrix[][]', { matrix: [['a'], ['b', 'c']] }, { matrix: [[mask], [mask, mask]] }],
    ['', { a: 1 }, mask],
  ])('%j', (path, input, shown) => {
    expect(of(plain, [path]).masked(input)).toEqual(shown);
  });

  it('come on top of those that the schema marks', () => {
    const sensitivity = of(z.object({ a: secret, b: z.string() }), ['b']);
    expect(sensitivity.paths).toEqual(['a', 'b']);
    expect(sensitivity.masked({ a: 'x', b: 'y' })).toEqual({ a: mask, b: mask });
  });
});

describe('a schema that cannot describe itself', () => {
  const mute: InputSchema = { '~standard': { version: 1, vendor: 'by hand', validate: (value) => ({ value }) } };

  it('has its whole input masked', () => {
    expect(of(mute)).toBe(allSensitive);
    expect(allSensitive.masked({ a: 1 })).toBe(mask);
    expect(allSensitive.scrub('no user ann@example.com in room 7b', { to: ['ann@example.com'], room: '7b' })).toBe(
      `no user ${mask} in room ${mask}`,
    );
  });

  it('unless the task lists its fields, be it none', () => {
    expect(of(mute, ['a']).masked({ a: 1, b: 2 })).toEqual({ a: mask, b: 2 });
    expect(of(mute, []).masked({ a: 1 })).toEqual({ a: 1 });
  });

  it('and so has one whose description throws', () => {
    const throwing = {
      '~standard': {
        ...mute['~standard'],
        jsonSchema: {
          input: () => {
            throw new Error('not representable');
          },
        },
      },
    } as unknown as InputSchema;
    expect(of(throwing)).toBe(allSensitive);
  });
});

describe('free text', () => {
  const { scrub } = of(z.object({ password: secret, pin: z.number().optional().meta({ sensitive: true }), user: z.string().optional() }));

  it('loses every sensitive value, wherever it stands and however often', () => {
    expect(scrub('hunter2: no such user hunter2 (xhunter2x)', { password: 'hunter2' })).toBe(`${mask}: no such user ${mask} (x${mask}x)`);
    expect(scrub('pin 123456 refused', { password: 'abc', pin: 123456 })).toBe(`pin ${mask} refused`);
  });

  it('loses the value as JSON writes it', () => {
    const password = 'two\nlines "quoted"';
    expect(scrub(`body was ${JSON.stringify({ password })}`, { password })).toBe(`body was {"password":"${mask}"}`);
  });

  it('loses the value in another case and without the white space around it, as schemas like to trim and lower it', () => {
    expect(scrub('no mailbox ann@example.com', { password: ' Ann@Example.COM ' })).toBe(`no mailbox ${mask}`);
  });

  it('loses a value that lies inside another one', () => {
    expect(sensitivityOf(z.array(secret), undefined).scrub('abcdef abc', ['abc', 'abcdef'])).toBe(`${mask} ${mask}`);
  });

  it('loses a short value where it stands alone, and stays readable', () => {
    expect(scrub('a bad answer: a', { password: 'a' })).toBe(`${mask} bad answer: ${mask}`);
    expect(scrub('room 7 of 77, x7, 7.', { password: 'abc', pin: 7 })).toBe(`room ${mask} of 77, x7, ${mask}.`);
    expect(scrub('at -1 degrees', { password: 'abc', pin: -1 })).toBe(`at ${mask} degrees`);
  });

  it('keeps everything else', () => {
    expect(scrub('ann was refused', { password: 'hunter2', user: 'ann' })).toBe('ann was refused');
    for (const input of [null, undefined, 7, {}, { password: '' }, { password: '  ' }, { password: null }]) {
      expect(scrub('nothing to hide', input)).toBe('nothing to hide');
    }
  });

  it('never throws and never shows a sensitive value of three characters or more', () => {
    const text = fc.string({ unit: fc.constantFrom(...'aAb1-$&^[](){}|/\\*+?."\'\n\ud800ß ü'), maxLength: 12 });
    fc.assert(
      fc.property(text, text, text, fc.oneof(fc.integer(), fc.double()), (before, password, after, pin) => {
        const shown = scrub(`${before}${password}${after} ${JSON.stringify(password)} ${pin}`, { password, pin });
        // The mask itself may hold a value such as "mas"; none of these characters spell it, only "a" and "[]".
        if (password.trim().length >= 3) expect(shown.replaceAll(mask, '\u0000')).not.toContain(password.trim());
        if (String(pin).length >= 3) expect(shown.replaceAll(mask, '\u0000').endsWith(` ${pin}`)).toBe(false);
      }),
      { numRuns: 500 },
    );
  });

  it('takes a value of a megabyte', () => {
    const password = 'x(y'.repeat(350_000);
    expect(scrub(`got ${password}!`, { password })).toBe(`got ${mask}!`);
  });
});

it('a task without a schema has nothing to hide', () => {
  const sensitivity = sensitivityOf(undefined, undefined);
  expect(sensitivity.paths).toEqual([]);
  expect(sensitivity.scrub('as it is', undefined)).toBe('as it is');
});
