/** What doctor says of a server's clock. */
import { expect, it } from 'vitest';
import { clock } from './findings.ts';

const answered = { where: 'it', askedAt: 1_000_000, tookMs: 10 };

it('of several servers the clock counts that is farthest off, whichever way', () => {
  expect(clock(answered, 1_000_005, 997_005)).toMatchObject({ ok: false, detail: 'this machine is 3000 ms ahead of the server' });
  expect(clock(answered, 1_002_505, 997_005, 1_004_005)).toMatchObject({
    ok: false,
    detail: 'this machine is 4000 ms behind the server',
  });
});

it('a clock that is less than two seconds off will do', () => {
  expect(clock(answered, 1_002_004)).toMatchObject({ ok: true, detail: 'this machine is 1999 ms behind the server' });
  expect(clock(answered, 1_002_005)).toMatchObject({ ok: false });
});
