/** What a task can ask for that is no error: values of their own, told apart by their class. */
import { expect, it } from 'vitest';
import { Discard, discard, PermanentError, RetryLater, retryLater } from './outcome.ts';

it('retryLater carries a checked delay and a reason', () => {
  const later = retryLater('15m', 'the office is closed');
  expect(later).toBeInstanceOf(RetryLater);
  expect(later).toMatchObject({ delayMs: 900_000, reason: 'the office is closed' });
  expect(retryLater(0).reason).toBe('');
  expect(() => retryLater(-1)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
});

it('discard carries a reason', () => {
  expect(discard('nobody wants it')).toBeInstanceOf(Discard);
  expect(discard('nobody wants it').reason).toBe('nobody wants it');
});

it('outcomes are no errors, and a permanent error is one', () => {
  expect(retryLater(0)).not.toBeInstanceOf(Error);
  expect(discard('x')).not.toBeInstanceOf(Error);
  const cause = new Error('550 no such user');
  const error = new PermanentError('refused', { cause });
  expect(error).toBeInstanceOf(Error);
  expect(error).toMatchObject({ name: 'PermanentError', message: 'refused', cause });
});
