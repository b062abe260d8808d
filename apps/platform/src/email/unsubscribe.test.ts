import { describe, expect, it } from 'vitest';
import { createUnsubscribeLinks } from './unsubscribe.ts';

const links = createUnsubscribeLinks({ secret: 's'.repeat(32), publicUrl: () => 'https://mail.example.com' });
const parts = (href: string) => {
  const url = new URL(href);
  return { url, mail: url.searchParams.get('mail') ?? '', signature: url.searchParams.get('signature') ?? '' };
};

describe('unsubscribe links', () => {
  it('lead to the record that they were made for', () => {
    const { url, mail, signature } = parts(links.urlFor('campaign:1'));
    expect(url.origin + url.pathname).toBe('https://mail.example.com/unsubscribe');
    expect(links.subjectOf(mail, signature)).toBe('campaign:1');
  });

  it('are good for no other record, and with no other secret', () => {
    const { signature } = parts(links.urlFor('campaign:1'));
    expect(links.subjectOf('campaign:2', signature)).toBeUndefined();
    expect(links.subjectOf('campaign:1', `${signature}x`)).toBeUndefined();
    expect(links.subjectOf('campaign:1', '')).toBeUndefined();
    const others = createUnsubscribeLinks({ secret: 't'.repeat(32), publicUrl: () => 'https://mail.example.com' });
    expect(others.subjectOf('campaign:1', signature)).toBeUndefined();
  });

  it('are not made with a short secret', () => {
    expect(() => createUnsubscribeLinks({ secret: 'short', publicUrl: () => 'https://x.example' })).toThrow('32 characters');
  });
});
