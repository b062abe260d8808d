import Handlebars from 'handlebars';
import { describe, expect, it } from 'vitest';
import { type TemplateName, templateNames } from './template-contexts.ts';
import { loadTemplates, TemplateError } from './templates.ts';

const templates = loadTemplates();

/** Every variable of every template. */
const full = {
  welcome: { user_name: 'Ann', login_url: 'https://example.com/login' },
  system_alert: {
    alert_type: 'critical_error',
    message: 'Press 4 is too hot.',
    source: 'press-4',
    occurred_at: '2026-11-23 10:00',
    dashboard_url: 'https://example.com/d',
  },
  order_status: {
    order_id: 456,
    status: 'shipped',
    user_name: 'Ann',
    expected_on: 'Friday',
    note: 'Two parcels.',
    order_url: 'https://example.com/o',
  },
  newsletter: {
    month: 'December',
    user_name: 'Ann',
    intro: 'Hi.',
    articles: [{ title: 'New hall', text: 'Opened.', url: 'https://example.com/a' }],
  },
  offer_received: {
    order_id: 456,
    user_name: 'Ben',
    title: 'Bracket',
    material: 'Aluminium 6061',
    quantity: 25,
    amount: '1,249.75 EUR',
    respond_by: 'Monday, 30 November, 12:00',
    deliver_by: 'Friday, 18 December',
    offer_url: 'https://example.com/offers/9',
  },
  order_awarded: {
    order_id: 456,
    user_name: 'Ben',
    title: 'Bracket',
    material: 'Aluminium 6061',
    quantity: 25,
    amount: '1,249.75 EUR',
    deliver_by: 'Friday, 18 December',
    order_url: 'https://example.com/o',
  },
  quote_requested: {
    order_id: 456,
    user_name: 'Ben',
    title: 'Bracket',
    material: 'Aluminium 6061',
    quantity: 25,
    respond_by: 'Monday, 30 November',
    deliver_by: 'Friday, 18 December',
    quote_url: 'https://example.com/quotes/3',
  },
  quote_received: {
    order_id: 456,
    user_name: 'Ann',
    title: 'Bracket',
    manufacturer: 'Ben & Sons',
    amount: '1,249.75 EUR',
    deliver_by: 'Friday, 18 December',
    valid_until: 'Monday, 7 December',
    quote_url: 'https://example.com/quotes/3',
  },
  quote_reminder: {
    order_id: 456,
    user_name: 'Ben',
    title: 'Bracket',
    quantity: 25,
    respond_by: 'Monday, 30 November',
    deliver_by: 'Friday, 18 December',
    quote_url: 'https://example.com/quotes/3',
  },
  payment_receipt: {
    order_id: 456,
    user_name: 'Ann',
    amount: '1,249.75 EUR',
    paid_on: '28 November 2026',
    payment_method: 'Visa, ending in 4242',
    payment_reference: 'TL-456',
    receipt_url: 'https://example.com/payments/1',
  },
  payment_action_required: {
    order_id: 456,
    user_name: 'Ann',
    amount: '1,249.75 EUR',
    action_url: 'https://bank.example/confirm',
    respond_by: 'Tuesday, 1 December',
  },
  payment_failed: {
    order_id: 456,
    user_name: 'Ann',
    amount: '1,249.75 EUR',
    reason: 'not enough money on the card',
    next_try_on: 'Tuesday, 1 December',
    payment_url: 'https://example.com/pay',
  },
  payment_final_failed: {
    order_id: 456,
    user_name: 'Ann',
    amount: '1,249.75 EUR',
    reason: 'the card has expired',
    pay_by: 'Friday, 4 December',
    payment_url: 'https://example.com/pay',
  },
  payment_lapsed: { order_id: 456, user_name: 'Ann', amount: '1,249.75 EUR', payment_url: 'https://example.com/pay' },
  payment_reminder: {
    order_id: 456,
    user_name: 'Ann',
    amount: '1,249.75 EUR',
    due_on: 'Saturday, 12 December',
    invoice_number: 'TL-2026-000007',
    payment_reference: 'TL-456',
    payment_url: 'https://example.com/pay',
  },
  payout_sent: {
    order_id: 456,
    user_name: 'Ben',
    amount: '1,124.78 EUR',
    sent_on: '28 November 2026',
    price: '1,249.75 EUR',
    fee: '124.97 EUR',
    arrives_by: 'Wednesday, 2 December',
    payout_reference: 'PO-77',
    payout_url: 'https://example.com/payouts/77',
  },
  invoice_issued: {
    order_id: 456,
    user_name: 'Ann',
    invoice_number: 'TL-2026-000007',
    amount: '1,249.75 EUR',
    due_on: 'Saturday, 12 December',
    payment_reference: 'TL-456',
    invoice_url: 'https://example.com/invoices/7',
  },
  credit_note_issued: {
    order_id: 456,
    user_name: 'Ann',
    credit_note_number: 'TL-2026-000008',
    invoice_number: 'TL-2026-000007',
    amount: '49.99 EUR',
    reason: 'one part was damaged',
    credit_note_url: 'https://example.com/invoices/8',
  },
  refund_sent: {
    order_id: 456,
    user_name: 'Ann',
    amount: '49.99 EUR',
    reason: 'one part was damaged',
    arrives_by: 'Friday, 4 December',
    refund_reference: 'RF-5',
    order_url: 'https://example.com/o',
  },
  order_cancelled: {
    order_id: 456,
    user_name: 'Ann',
    title: 'Bracket',
    reason: 'the buyer cancelled it',
    cancelled_on: '28 November 2026',
    fee: '200.00 EUR',
    compensation: '180.00 EUR',
    refund: '1,049.75 EUR',
    respond_by: 'Friday, 4 December',
    order_url: 'https://example.com/o',
  },
  order_late: {
    order_id: 456,
    user_name: 'Ann',
    for_manufacturer: true,
    title: 'Bracket',
    due_on: 'Friday, 27 November',
    expected_on: 'Wednesday, 2 December',
    respond_by: 'Monday, 30 November',
    order_url: 'https://example.com/o',
  },
  non_conformance_opened: {
    order_id: 456,
    user_name: 'Ben',
    title: 'Bracket',
    quantity: 3,
    cause: 'surface',
    description: 'Scratches\non the upper side.',
    respond_by: 'Wednesday, 2 December',
    case_url: 'https://example.com/cases/4',
  },
  dispute_opened: {
    order_id: 456,
    user_name: 'Ann',
    amount: '1,249.75 EUR',
    reason: 'the parts did not arrive',
    respond_by: 'Monday, 7 December',
    dispute_url: 'https://example.com/disputes/2',
  },
} as const;

/** Only what each needs. */
const least = {
  welcome: { user_name: 'User Name' },
  system_alert: { alert_type: 'critical_error' },
  order_status: { order_id: 'A-1', status: 'shipped' },
  newsletter: { month: 'December' },
  offer_received: { order_id: 7, amount: '10.00 EUR', respond_by: 'Monday' },
  order_awarded: { order_id: 7, amount: '10.00 EUR', deliver_by: 'Friday' },
  quote_requested: { order_id: 7, respond_by: 'Monday' },
  quote_received: { order_id: 7, manufacturer: 'Ben', amount: '10.00 EUR' },
  quote_reminder: { order_id: 7, respond_by: 'Monday' },
  payment_receipt: { order_id: 7, amount: '10.00 EUR', paid_on: 'today' },
  payment_action_required: { order_id: 7, amount: '10.00 EUR', action_url: 'https://bank.example/confirm' },
  payment_failed: { order_id: 7, amount: '10.00 EUR', next_try_on: 'Tuesday' },
  payment_final_failed: { order_id: 7, amount: '10.00 EUR' },
  payment_lapsed: { order_id: 7, amount: '10.00 EUR' },
  payment_reminder: { order_id: 7, amount: '10.00 EUR', due_on: 'Friday' },
  payout_sent: { order_id: 7, amount: '10.00 EUR', sent_on: 'today' },
  invoice_issued: { order_id: 7, invoice_number: 'TL-2026-000007', amount: '10.00 EUR' },
  credit_note_issued: { order_id: 7, credit_note_number: 'TL-2026-000008', invoice_number: 'TL-2026-000007', amount: '10.00 EUR' },
  refund_sent: { order_id: 7, amount: '10.00 EUR' },
  order_cancelled: { order_id: 7 },
  order_late: { order_id: 7, due_on: 'yesterday' },
  non_conformance_opened: { order_id: 7, quantity: 1, cause: 'surface' },
  dispute_opened: { order_id: 7 },
} as const;

type Context = Readonly<Record<string, string | number | boolean | readonly object[]>>;

const contextsOf = (name: TemplateName): readonly Context[] => [full[name], least[name]];

/** Wherever its lines break. */
const textOf = (name: TemplateName, context: Context) => templates.render(name, context).text.replace(/\s+/g, ' ');

/** As Handlebars does it. */
const escaped = (text: string) => Handlebars.escapeExpression(text);

function errorOf(run: () => unknown): TemplateError {
  try {
    run();
  } catch (error) {
    if (error instanceof TemplateError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('templates', () => {
  it.each(templateNames)('%s renders in HTML and text, with all variables and with the least', (name) => {
    for (const context of contextsOf(name)) {
      const mail = templates.render(name, context);
      expect(mail.subject).toMatch(/^\S.*\S$/u);
      expect(mail.html).toContain('max-width:600px');
      expect(mail.html).toContain(`<title>${escaped(mail.subject)}</title>`);
      expect(mail.html).not.toMatch(/\{\{|undefined|\[object/);
      expect(mail.text).not.toMatch(/\{\{|undefined|\[object|<p/);
      expect(mail.text).toContain('Taktline Manufacturing');
      // What was left out leaves no gap.
      expect(mail.text).not.toMatch(/^\s|\n{3,}/);
    }
    const mail = templates.render(name, full[name]);
    for (const value of Object.values(full[name]).filter((value) => typeof value === 'string' || typeof value === 'number')) {
      expect(mail.text).toContain(String(value));
      expect(mail.html).toContain(escaped(String(value)));
    }
  });

  it.each(templateNames)('%s needs each of its variables, and says which one is missing', (name) => {
    for (const variable of Object.keys(least[name])) {
      const { [variable]: _, ...rest }: Context = least[name];
      expect(errorOf(() => templates.render(name, rest))).toMatchObject({ code: 'INVALID_CONTEXT', variables: [variable] });
    }
  });

  it.each(templateNames)('%s escapes every value in HTML', (name) => {
    const evil = '<img src=x onerror="alert(1)"> & \'Co\'';
    const context = Object.fromEntries(
      Object.entries<Context[string]>(full[name]).map(([key, value]) => [
        key,
        typeof value === 'string' && !key.endsWith('_url') ? evil : value,
      ]),
    );
    const mail = templates.render(name, context);
    expect(mail.html).not.toContain('<img');
    expect(mail.html).toContain('&lt;img');
    expect(mail.text).toContain(evil);
  });

  it.each(templateNames)('%s has a subject of one line, whatever goes into it', (name) => {
    for (const [variable, value] of Object.entries<Context[string]>(least[name])) {
      if (typeof value !== 'string' || variable.endsWith('_url')) continue;
      const context = { ...least[name], [variable]: `${value}\r\nBcc: eve@example.com` };
      expect(errorOf(() => templates.render(name, context)).variables).toEqual([variable]);
    }
  });

  it.each(templateNames)('%s links to http and https only', (name) => {
    for (const variable of Object.keys(full[name]).filter((key) => key.endsWith('_url'))) {
      for (const link of ['javascript:alert(1)', 'data:text/html,x', 'ftp://example.com', '/o']) {
        expect(errorOf(() => templates.render(name, { ...full[name], [variable]: link })).variables).toEqual([variable]);
      }
    }
  });

  it('tells each side of a late order what is theirs to do', () => {
    const { for_manufacturer: _, ...context } = full.order_late;
    expect(textOf('order_late', { ...context, for_manufacturer: true })).toContain('tell us the new date by Monday, 30 November');
    expect(textOf('order_late', { ...context, for_manufacturer: false })).toContain('We have asked the manufacturer');
    expect(textOf('order_late', context)).toBe(textOf('order_late', { ...context, for_manufacturer: false }));
  });

  it('says of a cancelled order that there is a fee, or none', () => {
    const { compensation: _, ...late } = full.order_cancelled;
    const { fee: __, ...free } = late;
    expect(textOf('order_cancelled', late)).toContain('A cancellation fee of 200.00 EUR applies.');
    expect(textOf('order_cancelled', free)).toContain('There is no fee.');
    const toMaker = textOf('order_cancelled', full.order_cancelled);
    expect(toMaker).toContain("You get 180.00 EUR of the buyer's cancellation fee");
    expect(toMaker).not.toMatch(/There is no fee|applies/);
  });

  it('says of an invoice by when it is to be paid, or that it is paid', () => {
    expect(textOf('invoice_issued', full.invoice_issued)).toContain('Please pay it by Saturday, 12 December.');
    expect(textOf('invoice_issued', least.invoice_issued)).toContain('It is paid already');
  });

  it('names the variable that is missing', () => {
    const error = errorOf(() => templates.render('welcome', {}));
    expect(error).toMatchObject({ code: 'INVALID_CONTEXT', variables: ['user_name'] });
    expect(error.message).toBe('the context does not fit template "welcome": "user_name" is missing');
  });

  it('takes no variable from a prototype', () => {
    const context = JSON.parse('{"__proto__": {"user_name": "Eve"}}') as Record<string, unknown>;
    expect(errorOf(() => templates.render('welcome', context)).variables).toEqual(['user_name']);
    expect(errorOf(() => templates.render('welcome', Object.create({ user_name: 'Eve' }))).variables).toEqual(['user_name']);
  });

  it('escapes values in HTML and leaves them alone in text', () => {
    const mail = templates.render('welcome', { user_name: '<script>alert("x")</script> & Co' });
    expect(mail.html).not.toContain('<script>');
    expect(mail.html).toContain('&lt;script&gt;');
    expect(mail.text).toContain('<script>alert("x")</script> & Co');
  });

  it.each(['Ann\r\nBcc: eve@example.com', 'Ann\nX', 'Ann\u2028X', 'Ann\0'])(
    'refuses a line break where a subject is made: %j',
    (user_name) => {
      const error = errorOf(() => templates.render('welcome', { user_name }));
      expect(error).toMatchObject({ code: 'INVALID_CONTEXT', variables: ['user_name'] });
      expect(error.message).not.toContain('Ann');
    },
  );

  it.each(['javascript:alert(1)', 'data:text/html,x', 'ftp://example.com'])('refuses a link that is not http: %s', (login_url) => {
    expect(errorOf(() => templates.render('welcome', { user_name: 'Ann', login_url })).variables).toEqual(['login_url']);
  });

  it.each(['constructor', '__proto__', 'toString', '../x', 'layout', ''])('knows no template %j', (name) => {
    expect(errorOf(() => templates.render(name, {}))).toMatchObject({ code: 'UNKNOWN_TEMPLATE' });
  });

  it('shows the way to unsubscribe only where there is one, and not by the context', () => {
    const context = { month: 'May', unsubscribeUrl: 'https://evil.example/' };
    expect(templates.render('newsletter', context).html).not.toMatch(/unsubscribe|evil/i);
    const mail = templates.render('newsletter', context, { unsubscribeUrl: 'https://example.com/unsubscribe?a=1&b=2' });
    expect(mail.html).toContain('https://example.com/unsubscribe?a&#x3D;1&amp;b&#x3D;2');
    expect(mail.text).toContain('https://example.com/unsubscribe?a=1&b=2');
  });
});
