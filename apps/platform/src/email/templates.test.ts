import { describe, expect, it } from 'vitest';
import { templateNames } from './template-contexts.ts';
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
} as const;

/** Only what the specification's examples give. */
const least = {
  welcome: { user_name: 'User Name' },
  system_alert: { alert_type: 'critical_error' },
  order_status: { order_id: 'A-1', status: 'shipped' },
  newsletter: { month: 'December' },
} as const;

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
    for (const context of [full[name], least[name]]) {
      const mail = templates.render(name, context);
      expect(mail.subject).not.toBe('');
      expect(mail.html).toContain('max-width:600px');
      expect(mail.html).toContain(`<title>${mail.subject}</title>`);
      expect(mail.html).not.toMatch(/\{\{|undefined|\[object/);
      expect(mail.text).not.toMatch(/\{\{|undefined|\[object|<p/);
      expect(mail.text).toContain('Taktline Manufacturing');
    }
    for (const value of Object.values(full[name]).filter((value) => typeof value === 'string')) {
      expect(templates.render(name, full[name]).text).toContain(value);
    }
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
