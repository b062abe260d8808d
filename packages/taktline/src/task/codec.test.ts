/** The envelope: what goes in comes out, whatever it holds; what is damaged is refused without an echo of it. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkHeaders, decodeEnvelope, encodeEnvelope, encodeHead, fingerprint, fingerprintOf, taskNameOf, toJson } from './codec.ts';

/** Every code point, lone surrogates too, and often one of the first 256; fast-check's own `binary` takes seconds to set up. */
const anyCharacter = fc.oneof(fc.nat({ max: 0xff }), fc.nat({ max: 0x10ffff })).map((code) => String.fromCodePoint(code));

const what = 'the input of task "x"';
/** As the broker would hand it back. */
const travelled = (input: unknown, head = encodeHead({ task: 'x', inputVersion: 1 })) =>
  decodeEnvelope(encodeEnvelope(head, toJson(input, what)));

describe('a round trip', () => {
  it('keeps every JSON value, and the head', () => {
    fc.assert(
      fc.property(
        fc.jsonValue(),
        fc.string(),
        fc.integer({ min: 1, max: 1_000 }),
        fc.option(fc.dictionary(fc.stringMatching(/^[A-Za-z][A-Za-z0-9_.-]{0,20}$/), fc.string()), { nil: undefined }),
        fc.option(fc.uuid(), { nil: undefined }),
        (input, task, inputVersion, headers, root) => {
          const envelope = travelled(input, encodeHead({ task, inputVersion, headers, root, parent: root }));
          // JSON has no -0.
          expect(envelope).toEqual({
            task,
            input: JSON.parse(JSON.stringify(input)) as unknown,
            inputVersion,
            headers: headers ?? {},
            root,
            parent: root,
          });
        },
      ),
    );
  });

  it.each([
    ['a quote and a brace', '"}],{'],
    ['the key of the input', '","input":{}'],
    ['control characters', '\u0000\u0001\u001e\u001f\u007f'],
    ['line ends', '\r\n\u2028\u2029'],
    ['a lone surrogate', '\ud800'],
    ['markup', '</script><b>'],
    ['nothing', ''],
  ])('keeps a string that holds %s, as value, key and task', (_, text) => {
    expect(travelled({ [text]: text }, encodeHead({ task: text, inputVersion: 1 }))).toMatchObject({ task: text, input: { [text]: text } });
  });

  it('never holds the separator of the broker unescaped', () => {
    fc.assert(
      fc.property(fc.string({ unit: anyCharacter }), (text) => {
        const envelope = encodeEnvelope(encodeHead({ task: text, inputVersion: 1, headers: { a: text } }), toJson({ [text]: text }, what));
        expect(/[\u0000-\u001f]/.test(envelope)).toBe(false);
      }),
    );
    expect(encodeEnvelope(encodeHead({ task: 'x', inputVersion: 1 }), toJson('\u001e', what))).not.toContain('\u001e');
  });

  it('keeps __proto__ as data, and changes no prototype', () => {
    const hostile: unknown = JSON.parse('{"__proto__":{"admin":true},"constructor":{"prototype":{"admin":true}}}');
    const { input } = travelled(hostile);
    expect(Object.keys(input as object)).toEqual(['__proto__', 'constructor']);
    expect((input as { admin?: unknown }).admin).toBeUndefined();
    expect(({} as { admin?: unknown }).admin).toBeUndefined();
  });

  it('an input that is left out is null', () => {
    expect(travelled(undefined).input).toBeNull();
  });
});

describe('toJson', () => {
  it.each<[string, unknown]>([
    ['a function', () => 1],
    ['a symbol', Symbol('secret')],
    ['a BigInt', { n: 1n }],
    [
      'a toJSON that throws',
      {
        toJSON() {
          throw new Error('secret');
        },
      },
    ],
  ])('refuses %s, naming what it was and not its value', (_, value) => {
    let error: unknown;
    try {
      toJson(value, what);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toMatchObject({ code: 'INVALID_INPUT', message: expect.stringContaining(what) as string });
    expect((error as Error).message).not.toContain('secret');
    expect((error as Error).cause).toBeUndefined();
  });

  it('refuses a circle, and a depth that JSON.stringify cannot climb down', () => {
    const circle: Record<string, unknown> = {};
    circle['self'] = circle;
    expect(() => toJson(circle, what)).toThrow(expect.objectContaining({ code: 'INVALID_INPUT' }));
    let deep: unknown = 0;
    for (let depth = 0; depth < 100_000; depth++) deep = [deep];
    expect(() => toJson(deep, what)).toThrow(expect.objectContaining({ code: 'INVALID_INPUT' }));
  });
});

describe('decodeEnvelope', () => {
  it.each([
    '',
    'null',
    '1',
    '"x"',
    '[]',
    '{}',
    '{"v":1}',
    '{"v":1,"task":7,"input":null}',
    '{"v":2,"task":"x","input":null}',
    '{"v":"1","task":"x","input":null}',
    '{"v":1,"task":"x","input":{"password":"hunter2"',
  ])('refuses %j, and does not quote it', (text) => {
    let error: unknown;
    try {
      decodeEnvelope(text);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toMatchObject({ code: 'BAD_ENVELOPE' });
    expect(String((error as Error).stack)).not.toContain('hunter2');
  });

  it('refuses an envelope that was cut anywhere', () => {
    const whole = encodeEnvelope(encodeHead({ task: 'x', inputVersion: 3, headers: { a: 'b' } }), toJson({ n: [1, 'two'] }, what));
    for (let length = 0; length < whole.length; length++) {
      expect(() => decodeEnvelope(whole.slice(0, length))).toThrow(expect.objectContaining({ code: 'BAD_ENVELOPE' }));
    }
  });

  it('reads forged fields of the wrong type as absent', () => {
    expect(decodeEnvelope('{"v":1,"task":"x","iv":"9","headers":"h","root":1,"parent":{},"input":5}')).toEqual({
      task: 'x',
      input: 5,
      inputVersion: 1,
      headers: {},
      root: undefined,
      parent: undefined,
    });
  });
});

describe('fingerprint', () => {
  it('of an envelope is that of the call that made it', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.string({ minLength: 1 }), fc.boolean(), (input, task, headed) => {
        const json = toJson(input, 'the input');
        const head = encodeHead({ task, inputVersion: 3, headers: headed ? { a: 'b' } : undefined });
        expect(fingerprintOf(encodeEnvelope(head, json))).toBe(fingerprint(task, json));
      }),
    );
    const odd = ['', 'no JSON', '{"v":2}', '{"v":1}'];
    expect(new Set(odd.map(fingerprintOf)).size).toBe(odd.length);
    expect(fingerprintOf('no JSON')).toBe(fingerprintOf('no JSON'));
    expect(odd.map(taskNameOf)).toEqual(['', '', '', '']);
    expect(taskNameOf(encodeEnvelope(encodeHead({ task: 'x', inputVersion: 1 }), 'null'))).toBe('x');
  });

  it('is the same for equal inputs, in whatever order their fields stand', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue(), { noNullPrototype: true }), (input) => {
        const reversed = Object.fromEntries(Object.entries(input).reverse());
        expect(fingerprint('x', JSON.stringify({ a: input }))).toBe(fingerprint('x', JSON.stringify({ a: reversed })));
      }),
    );
  });

  it('tells tasks, values and orders of lists apart', () => {
    const prints = [
      fingerprint('x', '{"a":1}'),
      fingerprint('y', '{"a":1}'),
      fingerprint('x', '{"a":2}'),
      fingerprint('x', '{"a":"1"}'),
      fingerprint('x', '{"a":[1,2]}'),
      fingerprint('x', '{"a":[2,1]}'),
      fingerprint('x', '{"__proto__":1}'),
      fingerprint('x', '{}'),
    ];
    expect(new Set(prints).size).toBe(prints.length);
  });
});

describe('checkHeaders', () => {
  it('lets names of letters, digits and _.- pass, with any text as value', () => {
    const headers = { 'trace-parent': '00-ab', Tenant: 'Ünïcode\u0000', a: '' };
    expect(checkHeaders(headers)).toBe(headers);
  });

  it.each([
    { '': 'x' },
    { '1a': 'x' },
    { 'a b': 'x' },
    { 'a\r\nb': 'x' },
    { a: 1 as unknown as string },
    { a: undefined as unknown as string },
    JSON.parse('{"__proto__":"x"}') as Record<string, string>,
    { [`a${'b'.repeat(64)}`]: 'x' },
  ])('refuses %j', (headers) => {
    expect(() => checkHeaders(headers)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  });

  it('counts bytes, and refuses more than 8 KiB', () => {
    expect(() => checkHeaders({ a: 'x'.repeat(8_191) })).not.toThrow();
    expect(() => checkHeaders({ a: 'x'.repeat(8_192) })).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
    expect(() => checkHeaders({ a: 'ü'.repeat(4_096) })).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  });
});
