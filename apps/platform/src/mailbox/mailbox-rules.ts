/**
 * Two domains that the local mailbox does not simply take, so that a newcomer can see what the platform makes of a mail
 * server's refusals. Both end in `.example`, which RFC 2606 keeps free: they are nobody's.
 */

/** Each address here is answered 451 the first time, as greylisting servers do, and taken afterwards. */
export const greylistedDomain = 'later.example';

/** No address here exists: 550. */
export const refusedDomain = 'refused.example';

export interface MailboxRules {
  /** The error to answer RCPT TO with; undefined to take the mail. */
  check(address: string): (Error & { responseCode: number }) | undefined;
}

/** Addresses remembered as seen; beyond that the oldest are greylisted again. */
const remembered = 1_000;

export function createMailboxRules(): MailboxRules {
  const seen = new Set<string>();
  return {
    check(address) {
      const domain = address.slice(address.lastIndexOf('@') + 1).toLowerCase();
      if (domain === refusedDomain) return refusal(550, '5.1.1 No such mailbox here');
      if (domain !== greylistedDomain || seen.has(address)) return undefined;
      seen.add(address);
      for (const oldest of seen) {
        if (seen.size <= remembered) break;
        seen.delete(oldest);
      }
      return refusal(451, '4.7.1 Greylisted, please come back later');
    },
  };
}

function refusal(responseCode: number, message: string): Error & { responseCode: number } {
  return Object.assign(new Error(message), { responseCode });
}
