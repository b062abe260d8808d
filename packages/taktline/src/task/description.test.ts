/** A task's description: what a program without the task's code can mask, check and enqueue by it. */
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { definitionOf, describeTask, readDescription } from './description.ts';
import { mask } from './sensitive.ts';
import { defineTask, type InputSchema } from './task.ts';
import { validateInput } from './validate.ts';

const run = () => null;
const described = (input: InputSchema | undefined, more: object = {}) =>
  JSON.stringify(describeTask(defineTask({ name: 'mail.send', queue: 'mail', ...(input === undefined ? {} : { input }), run, ...more })));
const known = (text: string) => definitionOf(readDescription(text) as NonNullable<ReturnType<typeof readDescription>>);

const person = z.object({
  name: z.string().min(2),
  'e.mail': z.email().meta({ sensitive: true }),
  cards: z.array(z.object({ number: z.string().meta({ sensitive: true }), kind: z.enum(['a', 'b']) })).optional(),
});

it('says what somebody without the code needs, and is read back as it was', () => {
  const text = described(person, { priority: 7, inputVersion: 3, critical: true, editable: true, timeLimit: '30s', resultTtl: false });
  expect(readDescription(text)).toMatchObject({
    name: 'mail.send',
    queue: 'mail',
    priority: 7,
    inputVersion: 3,
    critical: true,
    editable: true,
    maxAttempts: 5,
    timeLimitMs: 30_000,
    softTimeLimitMs: 30_000,
    resultTtlMs: 0,
    sensitive: ['cards[].number', 'e.mail'],
    jsonSchema: { type: 'object', required: ['name', 'e.mail'] },
  });
  expect(known(text)).toMatchObject({ name: 'mail.send', queue: 'mail', priority: 7, inputVersion: 3, critical: true, resultTtlMs: 0 });
});

describe('masking by a description', () => {
  it('masks what the code would, also a field whose name has a dot in it', () => {
    const input = { name: 'ann', 'e.mail': 'ann@example.com', cards: [{ number: '4111', kind: 'a' }] };
    const { sensitivity } = known(described(person));
    expect(sensitivity.masked(input)).toEqual({ name: 'ann', 'e.mail': mask, cards: [{ number: mask, kind: 'a' }] });
    expect(sensitivity.scrub('to ann@example.com with 4111', input)).toBe(`to ${mask} with ${mask}`);
  });

  it('masks fields that the task lists, at any depth of a schema that refers to itself', () => {
    const node = z.object({
      secret: z.string().meta({ sensitive: true }),
      open: z.string(),
      get next() {
        return node.optional();
      },
    });
    const input = { secret: 's1', open: 'o1', next: { secret: 's2', open: 'o2', next: { secret: 's3', open: 'o3' } } };
    expect(known(described(node, { sensitive: ['open'] })).sensitivity.masked(input)).toEqual({
      secret: mask,
      open: mask,
      next: { secret: mask, open: 'o2', next: { secret: mask, open: 'o3' } },
    });
  });

  it('masks the whole input where the schema cannot describe itself and the task lists nothing', () => {
    const opaque: InputSchema = { '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value }) } };
    expect(known(described(opaque)).sensitivity.masked({ a: 1 })).toBe(mask);
    expect(known(described(opaque, { sensitive: ['a'] })).sensitivity.masked({ a: 1, b: 2 })).toEqual({ a: mask, b: 2 });
    expect(known(described(opaque, { sensitive: [] })).sensitivity.masked({ a: 1 })).toEqual({ a: 1 });
  });
});

describe('checking by a description', () => {
  const refused = (task: Parameters<typeof validateInput>[0], input: unknown): string => {
    try {
      validateInput(task, input);
      return 'accepted';
    } catch (error) {
      return (error as Error).message;
    }
  };

  it('takes what the schema takes, and names the fields that do not fit, without their values', () => {
    const task = known(described(person));
    expect(refused(task, { name: 'ann', 'e.mail': 'ann@example.com' })).toBe('accepted');
    const message = refused(task, { name: 'a', 'e.mail': 'not-a-mail', cards: [{ number: '1', kind: 'c' }] });
    expect(message).toMatch(/^the input of task "mail.send" is not valid: .*name: .*; .*e\.mail: .*; .*cards\.0\.kind: /);
    expect(message).not.toContain('not-a-mail');
    expect(refused(task, {})).toMatch(/\(input\): .*required/);
  });

  it('a task without input takes none', () => {
    const task = known(described(undefined));
    expect(task.input).toBeUndefined();
  });
});

it('what cannot be read as a description describes nothing', () => {
  for (const text of [
    '',
    'null',
    '{}',
    '[]',
    '{"name":"a b","queue":"q"}',
    '{"name":"a","queue":"q","priority":99}',
    described(person).replace('"sensitive":[', '"sensitive":[5,'),
  ]) {
    expect(readDescription(text), text).toBeUndefined();
  }
});
