/**
 * What the email tasks take. Addresses, names and contexts are marked as sensitive: the engine masks them wherever a
 * person may read them. Recipients of bulk mail are looked at one by one when the list is split, so that a bad address
 * costs one mail and not the list.
 */
import { z } from 'zod';
import type { TemplateContext } from '../database/tables.ts';
import { addressSchema, displayNameSchema } from './addresses.ts';
import { templateNames } from './template-contexts.ts';

/** Names a delivery record, and makes the send idempotent. */
export const recordIdSchema = z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,99}$/, {
  error: 'expected 1 to 100 letters, digits and _.:-',
});

/** Levels of objects and arrays in a context; none of ours needs more. */
const deepest = 6;

/** Values for a template. Plain JSON, not too deep, and no key that stands for a prototype. */
export const contextSchema = z
  .record(z.string().max(100), z.unknown())
  .refine((context) => isPlain(context, 1), { error: `expected plain JSON of at most ${deepest} levels` })
  .transform((context): TemplateContext => context)
  .meta({ sensitive: true });

export const templateNameSchema = z.enum(templateNames, { error: `expected one of ${templateNames.join(', ')}` });

export const sendEmailInput = z.strictObject({
  email: z.strictObject({
    id: recordIdSchema,
    to: addressSchema.meta({ sensitive: true }),
    name: displayNameSchema.meta({ sensitive: true }).optional(),
  }),
  template: templateNameSchema,
  context: contextSchema.default({}),
});

/** One recipient of bulk mail, as yet unchecked. */
export const bulkRecipientSchema = z.strictObject({
  /** Names the recipient's record within the campaign. Default: a digest of the address. */
  id: recordIdSchema.optional(),
  to: z.string().max(1_000).meta({ sensitive: true }),
  name: z.string().max(1_000).meta({ sensitive: true }).optional(),
  /** Added to the common context, for this recipient only. */
  context: contextSchema.optional(),
});

export const sendBulkInput = z.strictObject({
  /** Names the campaign: a list sent twice under one id reaches everybody once. Default: the job's id. */
  id: recordIdSchema.optional(),
  /** Which part of the list this is, when it was cut into several jobs (see bulk-list.ts). */
  part: z.int().min(0).max(20_000).default(0),
  emails: z.array(bulkRecipientSchema).min(1),
  template: templateNameSchema,
  context: contextSchema.default({}),
});

export const sendBatchInput = z.strictObject({ batch: z.string().min(1).max(300) });

export const retryFailedInput = z.strictObject({
  /** Records enqueued again at most. Default 500. */
  limit: z.int().min(1).max(10_000).default(500),
});

export type SendEmailInput = z.output<typeof sendEmailInput>;
export type BulkRecipient = z.output<typeof bulkRecipientSchema>;
export type SendBulkInput = z.output<typeof sendBulkInput>;

const prototypeKeys = new Set(['__proto__', 'constructor', 'prototype']);

function isPlain(value: unknown, level: number): boolean {
  if (value === null || typeof value === 'boolean') return true;
  if (typeof value === 'string') return isStorable(value);
  if (typeof value === 'number') return Number.isFinite(value);
  if (typeof value !== 'object' || level > deepest) return false;
  if (Array.isArray(value)) return value.every((item) => isPlain(item, level + 1));
  return Object.entries(value).every(([key, item]) => !prototypeKeys.has(key) && isStorable(key) && isPlain(item, level + 1));
}

/** Postgres keeps neither a NUL nor half a surrogate pair. */
function isStorable(text: string): boolean {
  return !/[\0\p{Cs}]/u.test(text);
}
