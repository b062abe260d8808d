/**
 * `POST /api/emails`: takes one mail, enqueues it and answers at once. The caller's `id` names the record and the job,
 * so that a request whose answer got lost can be sent again and makes one mail.
 */
import { randomUUID } from 'node:crypto';
import { type Context, Hono } from 'hono';
import { TaktlineError } from 'taktline';
import { z } from 'zod';
import { addressSchema, displayNameSchema } from '../email/addresses.ts';
import { contextSchema, recordIdSchema, type SendEmailInput, templateNameSchema } from '../email/email-input.ts';
import { TemplateError, type Templates } from '../email/templates.ts';
import { jsonOnly, readJson } from './json-body.ts';
import { problem } from './problem.ts';

const bodySchema = z.strictObject({
  to: addressSchema,
  template: templateNameSchema,
  context: contextSchema.default({}),
  name: displayNameSchema.optional(),
  id: recordIdSchema.optional(),
  urgent: z.boolean().default(false),
});

export interface EmailApiDeps {
  readonly templates: Templates;
  /** Enqueues the mail. @returns the job's id */
  readonly enqueue: (input: SendEmailInput, urgent: boolean) => Promise<string>;
}

export function emailApi({ templates, enqueue }: EmailApiDeps): Hono {
  return new Hono().post('/api/emails', ...jsonOnly, async (c) => {
    const json = await readJson(c);
    if (json instanceof Response) return json;
    const body = bodySchema.safeParse(json.value);
    if (!body.success) {
      return invalid(
        c,
        body.error.issues.map((issue) => ({ path: issue.path.map(String).join('.'), message: issue.message })),
      );
    }
    const { to, template, context, name, id, urgent } = body.data;
    try {
      // What cannot be rendered is said now, not by a dead letter later.
      templates.render(template, context);
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error;
      const paths = error.variables.length > 0 ? error.variables : [''];
      return invalid(
        c,
        paths.map((variable) => ({ path: variable === '' ? 'context' : `context.${variable}`, message: error.message })),
      );
    }
    const record = id ?? randomUUID();
    try {
      const job = await enqueue({ email: { id: record, to, ...(name === undefined ? {} : { name }) }, template, context }, urgent);
      return c.json({ id: job, record }, 202);
    } catch (error) {
      return refused(c, error, record);
    }
  });
}

function invalid(c: Context, errors: readonly { path: string; message: string }[]): Response {
  return problem(c, { status: 400, title: 'The request is not valid', errors: errors.slice(0, 20) });
}

function refused(c: Context, error: unknown, record: string): Response {
  switch (error instanceof TaktlineError ? error.code : undefined) {
    case 'ID_CONFLICT':
      return problem(c, { status: 409, title: 'The id stands for another mail already', extra: { record } });
    case 'PAYLOAD_TOO_LARGE':
      return problem(c, { status: 413, title: 'The mail is too large for a job' });
    case 'BROKER_UNAVAILABLE':
      c.header('retry-after', '5');
      return problem(c, {
        status: 503,
        title: 'The broker did not answer',
        detail: 'Whether the mail was taken is not known. Send it again with "id" set to the record: it makes one mail',
        extra: { record },
      });
    default:
      throw error;
  }
}
