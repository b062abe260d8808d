import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { createLogger, type LogOptions } from './logging.ts';

function linesOf(options: Partial<LogOptions>, write: (logger: ReturnType<typeof createLogger>) => void): string {
  const stream = new PassThrough();
  write(createLogger({ level: 'info', pretty: false, stream, ...options }));
  return String(stream.read() ?? '');
}

describe('createLogger', () => {
  it('writes JSON lines with the level, the time and the fields', () => {
    const line: unknown = JSON.parse(linesOf({}, (logger) => logger.warn('email deferred', { record: 'r1' })));
    expect(line).toEqual({ level: 'warn', time: expect.stringMatching(/^\d{4}-.*Z$/), message: 'email deferred', record: 'r1' });
  });

  it('drops what is below its level', () => {
    expect(linesOf({ level: 'error' }, (logger) => logger.warn('no'))).toBe('');
    expect(linesOf({ level: 'debug' }, (logger) => logger.debug('yes'))).toContain('yes');
  });

  it.each([false, true])('masks fields that hold people or secrets (pretty: %s)', (pretty) => {
    const text = linesOf({ pretty }, (logger) =>
      logger.info('x', {
        to: 'hunter2',
        recipient: 'hunter2',
        password: 'hunter2',
        context: { a: 'hunter2' },
        job: { email: 'hunter2', name: 'hunter2' },
      }),
    );
    expect(text).not.toContain('hunter2');
    expect(text).toContain('[masked]');
  });

  it('is readable on a terminal', () => {
    expect(linesOf({ pretty: true }, (logger) => logger.info('email sent', { record: 'r1' }))).toMatch(
      /^\[\d\d:\d\d:\d\d\] INFO: email sent \{"record":"r1"\}/,
    );
  });
});
