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

/** An amount as people read it, such as `1,234.50 EUR`: templates do not calculate. */
const amount = line;

/** A day or a time as the recipient should read it, such as `Friday, 4 December 2026`. */
const date = line;

/** What every mail about an order knows. */
const aboutOrder = {
  order_id: label,
  user_name: line.optional(),
};

/** What is made, for those who know it by that rather than by its number. */
const part = {
  title: line.optional(),
  material: line.optional(),
  quantity: label.optional(),
};

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
  /** To a manufacturer. */
  offer_received: z.looseObject({
    ...aboutOrder,
    ...part,
    /** What the manufacturer gets. */
    amount,
    respond_by: date,
    deliver_by: date.optional(),
    offer_url: link.optional(),
  }),
  /** To the manufacturer who makes it. */
  order_awarded: z.looseObject({
    ...aboutOrder,
    ...part,
    /** What the manufacturer gets. */
    amount,
    deliver_by: date,
    order_url: link.optional(),
  }),
  /** To a manufacturer. */
  quote_requested: z.looseObject({
    ...aboutOrder,
    ...part,
    respond_by: date,
    deliver_by: date.optional(),
    quote_url: link.optional(),
  }),
  /** To the buyer. */
  quote_received: z.looseObject({
    ...aboutOrder,
    title: line.optional(),
    /** The manufacturer's name. */
    manufacturer: line,
    amount,
    deliver_by: date.optional(),
    valid_until: date.optional(),
    quote_url: link.optional(),
  }),
  /** To a manufacturer who was asked for a quote and has not answered. */
  quote_reminder: z.looseObject({
    ...aboutOrder,
    title: line.optional(),
    quantity: label.optional(),
    respond_by: date,
    deliver_by: date.optional(),
    quote_url: link.optional(),
  }),
  payment_receipt: z.looseObject({
    ...aboutOrder,
    amount,
    paid_on: date,
    /** Such as `Visa, ending in 4242`. */
    payment_method: line.optional(),
    payment_reference: line.optional(),
    receipt_url: link.optional(),
  }),
  payment_action_required: z.looseObject({
    ...aboutOrder,
    amount,
    /** Where the buyer confirms. */
    action_url: link,
    respond_by: date.optional(),
  }),
  /** It is tried again. */
  payment_failed: z.looseObject({
    ...aboutOrder,
    amount,
    next_try_on: date,
    /** In words for the buyer, such as `not enough money on the card`. */
    reason: line.optional(),
    payment_url: link.optional(),
  }),
  /** It is not tried again: the order is on hold. */
  payment_final_failed: z.looseObject({
    ...aboutOrder,
    amount,
    reason: line.optional(),
    /** After that the order is cancelled. */
    pay_by: date.optional(),
    payment_url: link.optional(),
  }),
  /** What was reserved is not there any more: the order is on hold. */
  payment_lapsed: z.looseObject({
    ...aboutOrder,
    amount,
    payment_url: link.optional(),
  }),
  payment_reminder: z.looseObject({
    ...aboutOrder,
    amount,
    due_on: date,
    invoice_number: line.optional(),
    payment_reference: line.optional(),
    payment_url: link.optional(),
  }),
  /** To a manufacturer. */
  payout_sent: z.looseObject({
    ...aboutOrder,
    /** What was sent. */
    amount,
    sent_on: date,
    /** What the buyer paid. */
    price: amount.optional(),
    /** What the platform keeps. */
    fee: amount.optional(),
    arrives_by: date.optional(),
    payout_reference: line.optional(),
    payout_url: link.optional(),
  }),
  invoice_issued: z.looseObject({
    ...aboutOrder,
    invoice_number: line,
    amount,
    /** Without it the mail says that it is paid. */
    due_on: date.optional(),
    payment_reference: line.optional(),
    invoice_url: link.optional(),
  }),
  credit_note_issued: z.looseObject({
    ...aboutOrder,
    credit_note_number: line,
    /** Of the invoice that it corrects. */
    invoice_number: line,
    amount,
    reason: line.optional(),
    credit_note_url: link.optional(),
  }),
  refund_sent: z.looseObject({
    ...aboutOrder,
    amount,
    reason: line.optional(),
    arrives_by: date.optional(),
    refund_reference: line.optional(),
    order_url: link.optional(),
  }),
  order_cancelled: z.looseObject({
    ...aboutOrder,
    title: line.optional(),
    reason: line.optional(),
    cancelled_on: date.optional(),
    /** Without it the mail says that there is none. */
    fee: amount.optional(),
    /** What the manufacturer gets of the fee. */
    compensation: amount.optional(),
    refund: amount.optional(),
    /** Until when one can object. */
    respond_by: date.optional(),
    order_url: link.optional(),
  }),
  /** To both sides. */
  order_late: z.looseObject({
    ...aboutOrder,
    /** Default false: the mail is for the buyer. */
    for_manufacturer: z.boolean().default(false),
    title: line.optional(),
    due_on: date,
    expected_on: date.optional(),
    /** When the manufacturer answers, and the buyer hears more, at the latest. */
    respond_by: date.optional(),
    order_url: link.optional(),
  }),
  /** To the manufacturer. */
  non_conformance_opened: z.looseObject({
    ...aboutOrder,
    title: line.optional(),
    /** Of the parts that are not as they should be. */
    quantity: label,
    /** Such as `dimension`. */
    cause: line,
    description: paragraph.optional(),
    respond_by: date.optional(),
    case_url: link.optional(),
  }),
  /** To both sides. */
  dispute_opened: z.looseObject({
    ...aboutOrder,
    amount: amount.optional(),
    reason: line.optional(),
    /** Until when the recipient is heard. Without it nothing is asked for yet. */
    respond_by: date.optional(),
    dispute_url: link.optional(),
  }),
};

export type TemplateName = keyof typeof templateContexts;

export const templateNames = Object.keys(templateContexts) as readonly TemplateName[] as readonly [TemplateName, ...TemplateName[]];
