/**
 * Turns a template's name and a context into subject, HTML and text. Templates are files of ours beside this one
 * (Handlebars: `<name>.subject.hbs`, `.html.hbs`, `.text.hbs`, in a shared layout), found by name in a Map, so that no
 * input names a path. Values are escaped in HTML; a variable that is missing is an error, never a blank.
 */
import { readFileSync } from 'node:fs';
import Handlebars from 'handlebars';
import { type TemplateName, templateContexts, templateNames } from './template-contexts.ts';

export interface RenderedEmail {
  readonly subject: string;
  readonly html: string;
  readonly text: string;
}

/** What the platform adds to a mail, apart from the sender's context, which cannot overwrite it. */
export interface RenderExtras {
  /** Shown in the footer. */
  readonly unsubscribeUrl?: string;
}

export interface Templates {
  /** @throws TemplateError */
  render(name: string, context: Readonly<Record<string, unknown>>, extras?: RenderExtras): RenderedEmail;
}

/** A mail that cannot be made from its template and context, however often it is tried. Its text has no values in it. */
export class TemplateError extends Error {
  override readonly name = 'TemplateError';
  readonly code: 'UNKNOWN_TEMPLATE' | 'INVALID_CONTEXT';
  /** The variables at fault, such as `user_name` or `articles.0.title`. */
  readonly variables: readonly string[];

  constructor(code: TemplateError['code'], message: string, variables: readonly string[] = []) {
    super(message);
    this.code = code;
    this.variables = variables;
  }
}

interface CompiledTemplate {
  readonly subject: HandlebarsTemplateDelegate;
  readonly html: HandlebarsTemplateDelegate;
  readonly text: HandlebarsTemplateDelegate;
}

/** The same place from src/ and from dist/. */
const folder = new URL('../../src/email/templates/', import.meta.url);

const read = (file: string) => readFileSync(new URL(file, folder), 'utf8');

/**
 * Reads and compiles all templates.
 *
 * @throws when one of the files is missing
 */
export function loadTemplates(): Templates {
  const html = Handlebars.create();
  html.registerPartial('layout', read('layout.html.hbs'));
  html.registerPartial('button', read('button.html.hbs'));
  const text = Handlebars.create();
  text.registerPartial('layout', read('layout.text.hbs'));
  for (const handlebars of [html, text]) handlebars.registerHelper('words', words);

  const compiled = new Map<string, CompiledTemplate>(
    templateNames.map((name) => [
      name,
      {
        subject: text.compile(read(`${name}.subject.hbs`), { strict: true, noEscape: true }),
        html: html.compile(read(`${name}.html.hbs`), { strict: true }),
        text: text.compile(read(`${name}.text.hbs`), { strict: true, noEscape: true }),
      },
    ]),
  );

  return {
    render(name, context, extras = {}) {
      const template = compiled.get(name);
      if (template === undefined) {
        throw new TemplateError('UNKNOWN_TEMPLATE', `no template has that name; there are ${templateNames.join(', ')}`);
      }
      const values = checkContext(name as TemplateName, context);
      const options = { data: { unsubscribeUrl: extras.unsubscribeUrl } };
      const subject = template.subject(values, options).trim();
      // Variables that stand in a subject are single lines already; this holds for templates yet to be written too.
      if (/[\p{Cc}\u2028\u2029]/u.test(subject)) {
        throw new TemplateError('INVALID_CONTEXT', `the subject of template "${name}" would have a line break or control character`);
      }
      return { subject, html: template.html(values, { data: { ...options.data, subject } }), text: template.text(values, options) };
    },
  };
}

function checkContext(name: TemplateName, context: Readonly<Record<string, unknown>>): Record<string, unknown> {
  // Own properties only: what stands in a prototype is no part of the context.
  const result = templateContexts[name].safeParse(Object.fromEntries(Object.entries(context)));
  if (result.success) return result.data;
  const problems = result.error.issues.slice(0, 10).map((issue) => {
    const variable = issue.path.map(String).join('.');
    return { variable, text: isMissing(context, issue.path) ? `"${variable}" is missing` : `"${variable}": ${issue.message}` };
  });
  throw new TemplateError(
    'INVALID_CONTEXT',
    `the context does not fit template "${name}": ${problems.map((problem) => problem.text).join('; ')}`,
    problems.map((problem) => problem.variable),
  );
}

function isMissing(context: unknown, path: readonly PropertyKey[]): boolean {
  let value = context;
  for (const step of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return true;
    value = (value as Record<PropertyKey, unknown>)[step];
  }
  return value === undefined;
}

/** `critical_error` as people read it: `critical error`. */
function words(value: unknown): string {
  return String(value).replace(/[_-]+/g, ' ');
}
