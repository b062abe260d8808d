/** The frame of every page, and its one style sheet. Values that go in are escaped by `html`; no page has a script. */
import { html } from 'hono/html';

export type Html = ReturnType<typeof html>;

export interface PageOptions {
  readonly title: string;
  /** Seconds after which the browser loads the page again. */
  readonly refresh?: number;
  readonly body: Html;
}

export function page({ title, refresh, body }: PageOptions): Html {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
${refresh === undefined ? '' : html`<meta http-equiv="refresh" content="${refresh}">`}
<title>${title} - Taktline</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/style.css">
</head>
<body>
<header><a class="brand" href="/">Taktline</a><span class="quiet">manufacturing platform</span></header>
<main>
${body}
</main>
</body>
</html>
`;
}

/** A list of pieces of HTML, one after the other. */
export function join(parts: readonly Html[]): Html {
  return html`${parts}`;
}

export { html };

export const styleSheet = `
:root { color-scheme: light dark; --page: #f3f5f8; --card: #fff; --ink: #1d2733; --quiet: #5d6975; --line: #dfe4ea; --accent: #1f5fbf; }
@media (prefers-color-scheme: dark) { :root { --page: #14171c; --card: #1f242b; --ink: #e7eaee; --quiet: #9aa4b1; --line: #343b45; --accent: #7fb2ff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
header { display: flex; gap: .75rem; align-items: baseline; padding: 1rem 1.5rem; border-bottom: 1px solid var(--line); background: var(--card); }
main { max-width: 60rem; margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.5rem; margin: .5rem 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2rem 0 .75rem; }
a { color: var(--accent); }
.brand { font-weight: 700; color: var(--ink); text-decoration: none; }
.quiet { color: var(--quiet); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 1rem 1.25rem; margin: 0 0 1.25rem; }
.scroll { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; }
th { text-align: left; font-weight: 600; color: var(--quiet); }
th, td { padding: .5rem .75rem .5rem 0; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
tr:last-child > * { border-bottom: 0; }
td.nowrap, th.nowrap { white-space: nowrap; }
.narrow th { width: 8rem; }
.counts { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; }
pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; font: .875rem/1.5 ui-monospace, Menlo, Consolas, monospace; }
code { font: .9em ui-monospace, Menlo, Consolas, monospace; }
iframe { width: 100%; height: 44rem; border: 1px solid var(--line); border-radius: 8px; background: #fff; }
nav { display: flex; gap: 1rem; align-items: baseline; }
button { font: inherit; font-weight: 600; padding: .6rem 1.25rem; border: 0; border-radius: 6px; background: #1f5fbf; color: #fff; cursor: pointer; }
`;
