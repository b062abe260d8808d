/**
 * Where the List-Unsubscribe link of bulk mail leads (RFC 8058). Mail programs POST to it without any login; the
 * signature is the proof. A GET shows a page that asks, and changes nothing: scanners open every link in a mail.
 */
import { type Context, Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import type { DeliveryRecords } from '../email/delivery-records.ts';
import type { Suppressions } from '../email/suppressions.ts';
import type { UnsubscribeLinks } from '../email/unsubscribe.ts';
import { unsubscribePath } from './guards.ts';
import { type Html, html, page } from './page.ts';

export interface UnsubscribePagesDeps {
  readonly unsubscribe: UnsubscribeLinks;
  readonly records: Pick<DeliveryRecords, 'find'>;
  readonly suppressions: Pick<Suppressions, 'add'>;
}

const answer = (title: string, text: string | Html) => page({ title, body: html`<h1>${title}</h1><div class="card">${text}</div>` });

export function unsubscribePages({ unsubscribe, records, suppressions }: UnsubscribePagesDeps): Hono {
  const recordOf = (c: Context) => unsubscribe.subjectOf(c.req.query('mail') ?? '', c.req.query('signature') ?? '');
  const notValid = (c: Context) => c.html(answer('This link is not valid', 'Please use the link as it stands in the mail.'), 403);

  return new Hono()
    .get(unsubscribePath, (c) => {
      if (recordOf(c) === undefined) return notValid(c);
      return c.html(
        answer(
          'Unsubscribe',
          html`<p>You will get no more newsletters from us. Mails about your orders and your account still reach you.</p>
<form method="post"><input type="hidden" name="List-Unsubscribe" value="One-Click"><button>Unsubscribe</button></form>`,
        ),
      );
    })
    .post(
      unsubscribePath,
      bodyLimit({ maxSize: 4 * 1024, onError: (c) => c.html(answer('Too large', 'That was more than a click.'), 413) }),
      async (c) => {
        const id = recordOf(c);
        if (id === undefined) return notValid(c);
        if ((await oneClick(c)) !== 'One-Click')
          return c.html(answer('Nothing was changed', 'The request did not ask to unsubscribe.'), 400);
        const record = await records.find(id);
        if (record === undefined) return c.html(answer('This link is too old', 'Please use the link of a newer mail.'), 410);
        await suppressions.add(record.recipient, 'unsubscribe');
        return c.html(answer('You are unsubscribed', 'You will get no more newsletters from us.'));
      },
    );
}

/** The field that RFC 8058 asks for, from either kind of form. */
async function oneClick(c: Context): Promise<unknown> {
  try {
    return (await c.req.parseBody())['List-Unsubscribe'];
  } catch {
    return undefined;
  }
}
