/**
 * Addresses and names of people, as far as they may enter a mail's header. What could end a header line and begin
 * another one (CR, LF, other control characters) or list a second recipient is refused here, before anything else.
 */
import { domainToASCII } from 'node:url';
import { z } from 'zod';

/** One plain address: no name, no comment, no list. At most 254 characters (RFC 5321). */
export const addressSchema = z.email({ error: 'expected one email address' }).max(254, { error: 'expected at most 254 characters' });

/** A person's name: any script, no control characters or line breaks. May be empty. */
export const displayNameSchema = z
  .string()
  .max(200, { error: 'expected at most 200 characters' })
  .regex(/^[^\p{Cc}\p{Cs}\u2028\u2029]*$/u, { error: 'expected no line breaks or control characters' });

/** The form in which addresses are compared and suppressed: lower case, the domain in ASCII. */
export function normaliseAddress(address: string): string {
  const at = address.lastIndexOf('@');
  const domain = address.slice(at + 1);
  return `${address.slice(0, at).toLowerCase()}@${domainToASCII(domain) || domain.toLowerCase()}`;
}
