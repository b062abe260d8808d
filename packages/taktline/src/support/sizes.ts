/** Sizes at the public edge: a number of bytes, or a string such as `'200mb'`. */
import { TaktlineError } from './taktline-error.ts';

/** Bytes, or a number with a unit: `'512kb'`, `'200mb'`, `'1.5gb'`; 1 kb is 1024 bytes. */
export type Size = number | `${number}${'kb' | 'mb' | 'gb'}`;

const units = new Map([
  ['kb', 1_024],
  ['mb', 1_048_576],
  ['gb', 1_073_741_824],
]);

/**
 * @param name what the size is for; it stands in the error
 * @throws TaktlineError `INVALID_OPTION` when it is not positive, or has no known unit
 */
export function toBytes(size: Size, name: string): number {
  const match = typeof size === 'string' ? /^(\d{1,9}(?:\.\d{1,3})?)\s?(kb|mb|gb)$/i.exec(size) : null;
  const bytes = match === null ? size : Number(match[1]) * (units.get((match[2] as string).toLowerCase()) as number);
  if (typeof bytes !== 'number' || !Number.isFinite(bytes) || bytes < 1)
    throw new TaktlineError(
      'INVALID_OPTION',
      `${name} is ${JSON.stringify(size)}: expected bytes, or a string such as '512kb', '200mb' or '1gb'`,
    );
  return Math.round(bytes);
}
