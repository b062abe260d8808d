/** The page of the sandbox's bank, on which a buyer approves a payment or does not, as with 3-D Secure; then it is back to the shop. */
import type { ServerResponse } from 'node:http';
import { html } from 'hono/html';
import { StripeFault } from './sandbox-payments.ts';
import type { SandboxState } from './sandbox-state.ts';

const path = /^\/authenticate\/(\w+)$/;

export function isPage(pathname: string): boolean {
  return path.test(pathname);
}

/** Shows the page on GET; a POST with `answer` set to `approve` or `reject` answers, and leads to the payment's return URL. */
export async function answerPage(
  state: SandboxState,
  method: string,
  pathname: string,
  form: URLSearchParams,
  response: ServerResponse,
): Promise<void> {
  const id = path.exec(pathname)?.[1] ?? '';
  const intent = state.ledger.intents.get(id);
  if (intent === undefined) return show(response, 404, 'There is no such payment.');
  if (method !== 'POST') return show(response, 200, 'A shop asks for a payment. Is it yours?', intent.status === 'requires_action');
  const answer = form.get('answer');
  if (answer !== 'approve' && answer !== 'reject') return show(response, 400, 'Answer by one of the buttons.', true);
  try {
    if (answer === 'approve') state.approve(id);
    else state.reject(id);
  } catch (error) {
    if (!(error instanceof StripeFault)) throw error;
    return show(response, 409, 'This payment waits for no answer.');
  }
  if (intent.returnUrl === undefined) return show(response, 200, 'Thank you. You can close this page.');
  response.writeHead(303, { location: intent.returnUrl }).end();
}

async function show(response: ServerResponse, status: number, text: string, asks = false): Promise<void> {
  const buttons = html`<form method="post">
<button name="answer" value="approve">Approve</button>
<button name="answer" value="reject">Reject</button>
</form>`;
  const body = await html`<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Sandbox bank</title></head>
<body>
<h1>Sandbox bank</h1>
<p>${text}</p>
${asks ? buttons : ''}
</body>
</html>
`;
  response.writeHead(status, { 'content-type': 'text/html; charset=utf-8' }).end(String(body));
}
