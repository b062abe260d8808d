import { describe, expect, it } from 'vitest';
import { addressSchema, displayNameSchema, normaliseAddress } from './addresses.ts';

describe('addresses', () => {
  it.each(['a@example.com', 'ann.b+tag@mail.example.co', "o'hara@example.org"])('takes %s', (address) => {
    expect(addressSchema.safeParse(address).success).toBe(true);
  });

  it.each([
    'a@example.com\r\nBcc: b@example.com',
    'a@example.com\n',
    'a@example.com, b@example.com',
    'Ann <a@example.com>',
    '"a b"@example.com',
    'a@b@example.com',
    'a@example',
    '@example.com',
    `${'a'.repeat(250)}@example.com`,
    '',
  ])('refuses %j', (address) => {
    expect(addressSchema.safeParse(address).success).toBe(false);
  });

  it.each(['Ann Müller', '山田太郎', '', 'A "B" <C>, D'])('takes the name %j', (name) => {
    expect(displayNameSchema.safeParse(name).success).toBe(true);
  });

  it.each(['Ann\r\nBcc: x', 'Ann\n', 'a\0', 'a\u2028b', 'x'.repeat(201)])('refuses the name %j', (name) => {
    expect(displayNameSchema.safeParse(name).success).toBe(false);
  });

  it('compares without case', () => {
    expect(normaliseAddress('Ann.B@EXAMPLE.com')).toBe('ann.b@example.com');
    expect(normaliseAddress('a@bücher.example')).toBe('a@xn--bcher-kva.example');
  });
});
