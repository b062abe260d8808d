/** The values of options: what is taken, what is refused, and that a refusal quotes no input. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parseDuration, parseNames, parseTime, parseTimeOrDuration, parseWhole, readJson } from './values.ts';

it('a duration has a unit, or is seconds as in Celery', () => {
  expect(parseDuration('250ms')).toBe(250);
  expect(parseDuration('5m')).toBe(300_000);
  expect(parseDuration('90')).toBe(90_000);
  expect(parseDuration('1.5')).toBe(1_500);
  for (const bad of ['', '-1', '5 parsecs', '99999d', 'NaN']) expect(() => parseDuration(bad)).toThrow(/Expected a duration/);
});

it('a time has a zone', () => {
  expect(parseTime('2027-01-31T09:00:00+01:00').toISOString()).toBe('2027-01-31T08:00:00.000Z');
  expect(parseTime('2027-01-31 08:00Z').toISOString()).toBe('2027-01-31T08:00:00.000Z');
  for (const bad of ['2027-01-31T09:00:00', '2027-01-31', 'tomorrow', '2027-13-31T09:00:00Z'])
    expect(() => parseTime(bad)).toThrow(/with its zone/);
});

it('expires is a time or a duration', () => {
  expect(parseTimeOrDuration('2027-01-31T08:00:00Z')).toEqual(new Date('2027-01-31T08:00:00Z'));
  expect(parseTimeOrDuration('1h')).toBe(3_600_000);
});

it('names gather over commas and repeated options', () => {
  expect(parseNames('a, b', parseNames('c,a'))).toEqual(['c', 'a', 'b']);
  expect(() => parseNames('a,,b')).toThrow(/Expected names/);
});

it('a whole number has digits only', () => {
  expect(parseWhole('12')).toBe(12);
  for (const bad of ['1.5', '-1', '0x10', '1e3', '']) expect(() => parseWhole(bad)).toThrow(/whole number/);
});

it('JSON comes from the argument or a file, and what is no JSON is not quoted', async () => {
  expect(await readJson('{"a":1}', '--input')).toEqual({ a: 1 });
  const folder = await mkdtemp(join(tmpdir(), 'taktline-values-'));
  try {
    await writeFile(join(folder, 'input.json'), '[1,2]');
    expect(await readJson(`@${join(folder, 'input.json')}`, '--input')).toEqual([1, 2]);
    await expect(readJson(`@${join(folder, 'nothing')}`, '--input')).rejects.toMatchObject({
      message: expect.stringMatching(/^--input: .*ENOENT$/),
      exitCode: 2,
    });
  } finally {
    await rm(folder, { recursive: true });
  }
  for (const secret of ['hunter22', '{"password": hunter22}', '{"password":"hunter22"']) {
    const error = await readJson(secret, '--input').then(
      () => undefined,
      (reason: Error) => reason,
    );
    expect(error?.message).toMatch(/^--input is not JSON/);
    expect(error?.message).not.toContain('hunter22');
  }
});
