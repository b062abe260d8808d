/** What a broker can keep of a job's texts: they stand in lists, one text for many jobs. */
import { TaktlineError } from '../support/taktline-error.ts';

/** Control characters in an id: some of them stand between the texts of a list. */
const unfitId = /\p{Cc}/u;
/** What stands between the texts of a list; JSON never holds it unescaped. */
const unfitText = /[\u001d\u001e]/;

/** @throws TaktlineError `INVALID_INPUT` for a text that would be read back as another one */
export function checkTexts({ id, envelope, past }: { readonly id: string; readonly envelope: string; readonly past?: string }): void {
  if (id === '' || unfitId.test(id)) throw refused('a job id is empty or holds a control character');
  checkText(envelope, 'an envelope');
  if (past !== undefined) checkText(past, 'a past');
  if (!id.isWellFormed()) throw refused('a job id holds half of a surrogate pair');
}

/** @throws TaktlineError `INVALID_INPUT` */
export function checkText(text: string, what: string): void {
  if (unfitText.test(text)) throw refused(`${what} holds a separator, which JSON would have escaped`);
  if (!text.isWellFormed()) throw refused(`${what} holds half of a surrogate pair`);
}

function refused(message: string): TaktlineError {
  return new TaktlineError('INVALID_INPUT', message);
}
