/** The JSON logger: its levels, its lines, and values that JSON does not hold. */
import { expect, it } from 'vitest';
import { jsonLogger, logLevels, silentLogger } from './logger.ts';

function lines(level: (typeof logLevels)[number]) {
  const written: string[] = [];
  return { written, logger: jsonLogger(level, (line) => void written.push(line)) };
}

it('writes one JSON object a line, with the time, the level, the message and the fields', () => {
  const { written, logger } = lines('info');
  logger.warn('the disk\nis full', { free: 0 });
  expect(written).toHaveLength(1);
  expect(written[0]).toMatch(/^[^\n]+\n$/);
  const line = JSON.parse(written[0] as string) as Record<string, unknown>;
  expect(line).toMatchObject({ level: 'warn', message: 'the disk\nis full', free: 0 });
  expect(new Date(line['time'] as string).toISOString()).toBe(line['time']);
});

it.each(logLevels)('at level %s drops what is lower', (level) => {
  const { written, logger } = lines(level);
  for (const name of ['debug', 'info', 'warn', 'error'] as const) logger[name](name);
  const said = written.map((line) => (JSON.parse(line) as { level: string }).level);
  expect(said).toEqual(['debug', 'info', 'warn', 'error'].slice(logLevels.indexOf(level)));
});

it('never throws for what it is handed: circles, BigInt, a toJSON that throws', () => {
  const { written, logger } = lines('debug');
  const circle: Record<string, unknown> = {};
  circle['self'] = circle;
  logger.info('a circle', { circle });
  logger.info('a BigInt', { n: 1n });
  logger.info('thrown', {
    bad: {
      toJSON: () => {
        throw new Error('no');
      },
    },
  });
  expect(written.map((line) => (JSON.parse(line) as { message: string }).message)).toEqual(['a circle', 'a BigInt', 'thrown']);
});

it('the silent logger says nothing', () => {
  const write = process.stderr.write;
  let said = 0;
  process.stderr.write = (() => {
    said += 1;
    return true;
  }) as typeof process.stderr.write;
  try {
    silentLogger.error('nobody hears this');
  } finally {
    process.stderr.write = write;
  }
  expect(said).toBe(0);
});
