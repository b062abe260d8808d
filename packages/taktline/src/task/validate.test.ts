/** Checking an input: the schema's output, or one error that names fields and shows no sensitive value. */
import { expect, it } from 'vitest';
import { z } from 'zod';
import { defineTask, type InputSchema } from './task.ts';
import { validateInput } from './validate.ts';

const task = (input: InputSchema | undefined, sensitive?: readonly string[]) =>
  defineTask({ name: 'email.send', queue: 'q', run: () => null, ...(input && { input }), ...(sensitive && { sensitive }) });

it("gives the schema's output, at once when the schema is synchronous", () => {
  const schema = z.object({ n: z.coerce.number(), tags: z.array(z.string()).default([]) });
  expect(validateInput(task(schema), { n: '5', extra: true })).toEqual({ n: 5, tags: [] });
});

it('waits for a schema that is asynchronous, and refuses by it', async () => {
  const schema = z.string().refine(async (text) => text !== 'taken');
  await expect(validateInput(task(schema), 'free')).resolves.toBe('free');
  await expect(validateInput(task(schema), 'taken')).rejects.toMatchObject({ code: 'INVALID_INPUT' });
});

it('names each field that is wrong', () => {
  const schema = z.object({ to: z.string(), items: z.array(z.object({ sku: z.string() })) });
  expect(() => validateInput(task(schema), { to: 1, items: [{ sku: 'a' }, {}] })).toThrow(
    expect.objectContaining({
      code: 'INVALID_INPUT',
      message: expect.stringMatching(/task "email\.send" is not valid: to: .*; items\.1\.sku: /) as string,
    }),
  );
  expect(() => validateInput(task(z.string()), 1)).toThrow(/\(input\): /);
});

it('names at most ten, and counts the others', () => {
  const schema = z.array(z.string());
  let message = '';
  try {
    validateInput(
      task(schema),
      Array.from({ length: 25 }, () => 1),
    );
  } catch (error) {
    message = (error as Error).message;
  }
  expect(message.match(/expected string/gi)).toHaveLength(10);
  expect(message).toContain('and 15 more');
});

it('reads paths that are made of objects, as Standard Schema allows', () => {
  const handmade: InputSchema = {
    '~standard': { version: 1, vendor: 'by hand', validate: () => ({ issues: [{ message: 'no', path: [{ key: 'a' }, 0, Symbol('b')] }] }) },
  };
  expect(() => validateInput(task(handmade, []), {})).toThrow(/a\.0\.Symbol\(b\): no/);
});

it('cuts sensitive values out of what the schema says', () => {
  const schema = z.object({ password: z.string().meta({ sensitive: true }), n: z.string() }).superRefine((value, ctx) => {
    ctx.addIssue({ code: 'custom', message: `${value.password} is too weak`, path: ['password'] });
  });
  expect(() => validateInput(task(schema), { password: 'hunter2', n: 'x' })).toThrow(/password: \[masked\] is too weak/);
});

it('a task without a schema hears nothing of an input', () => {
  expect(validateInput(task(undefined), { anything: 1 })).toBeUndefined();
});
