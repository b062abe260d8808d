/** Names and ids: they enter keys, tables, logs and terminals, so nothing unprintable gets in. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkJobId, queueNamePattern } from './names.ts';

/** Every code point, lone surrogates too, and often one of the first 256; fast-check's own `binary` takes seconds to set up. */
const anyCharacter = fc.oneof(fc.nat({ max: 0xff }), fc.nat({ max: 0x10ffff })).map((code) => String.fromCodePoint(code));

describe('an id of a job', () => {
  it.each(['welcome-42', 'order:7/3', 'größe', '注文', "it's", '{a}', '../x', '__proto__', 'a'.repeat(200)])('may be %j', (id) => {
    expect(checkJobId(id)).toBe(id);
  });

  it.each(['', ' ', 'a b', 'a\tb', 'a\nb', 'a\u0000', 'a\u001eb', '\u200b', '\ud800', '\u202e', 'a'.repeat(201)])('may not be %j', (id) => {
    expect(() => checkJobId(id)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  });

  it.each([undefined, null, 7, {}, ['a']])('may not be %j, which is no string', (id) => {
    expect(() => checkJobId(id as unknown as string)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  });

  it('never holds a control character or white space', () => {
    fc.assert(
      fc.property(fc.string({ unit: anyCharacter, minLength: 1, maxLength: 20 }), (id) => {
        let accepted = true;
        try {
          checkJobId(id);
        } catch {
          accepted = false;
        }
        expect(accepted).toBe(![...id].some((character) => /[\s\p{C}]/u.test(character)));
      }),
    );
  });
});

describe('a name of a queue', () => {
  it.each(['email.normal', 'a', '_a', '9', 'a:b-c_d.e', 'a'.repeat(100)])('may be %j', (name) => {
    expect(queueNamePattern.test(name)).toBe(true);
  });

  it.each(['', '.a', '-a', 'a b', 'a{b}', 'a*', 'a\r\nb', 'a\u0000', 'ä', 'a\n', 'a'.repeat(101), 'a'.repeat(10_000)])(
    'may not be %j',
    (name) => {
      expect(queueNamePattern.test(name)).toBe(false);
    },
  );
});
