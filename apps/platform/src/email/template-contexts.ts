/**
 * What each template needs from its context. A variable that is missing or of the wrong type is an error that names it;
 * variables that a template does not know are let through, since a common context may serve several templates.
 */
import { z } from 'zod';

/** One line of text. It may enter a subject, so it has no line breaks. */
const line = z
  .string()
  .min(1)
  .max(500)
  .regex(/^[^\p{Cc}\u2028\u2029]*$/u, { error: 'expected no line breaks or control characters' });

/** A line, or a number, such as an order's id. */
const label = z.union([line, z.number()]);

const paragraph = z.string().min(1).max(20_000);

/** Only http and https: a `javascript:` link must not get into a mail. */
const link = z.url({ protocol: /^https?$/ }).max(2_000);

export const templateContexts = {
  welcome: z.looseObject({
    user_name: line,
    /** Where the person goes first. */
    login_url: link.optional(),
  }),
  system_alert: z.looseObject({
    /** Kind of alert, such as `critical_error`. */
    alert_type: line,
    message: paragraph.optional(),
    /** The machine, service or line that it is about. */
    source: line.optional(),
    /** When it happened, as it should be read. */
    occurred_at: line.optional(),
    dashboard_url: link.optional(),
  }),
  order_status: z.looseObject({
    order_id: label,
    /** Such as `shipped`. */
    status: line,
    user_name: line.optional(),
    expected_on: line.optional(),
    note: paragraph.optional(),
    order_url: link.optional(),
  }),
  newsletter: z.looseObject({
    /** The issue, such as `December`. */
    month: line,
    user_name: line.optional(),
    intro: paragraph.optional(),
    articles: z
      .array(z.object({ title: line, text: paragraph, url: link.optional() }))
      .max(50)
      .optional(),
  }),
};

export type TemplateName = keyof typeof templateContexts;

export const templateNames = Object.keys(templateContexts) as readonly TemplateName[] as readonly [TemplateName, ...TemplateName[]];
