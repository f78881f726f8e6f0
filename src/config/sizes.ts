import { ThinError } from '../errors/thin-error.js';

const PATTERN = /^(\d+(?:\.\d+)?) ?([kmgtp])?i?b?$/i;
const PREFIXES = ' kmgtp';
const DECIMAL_UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const;
const BINARY_UNITS = ['B', 'K', 'M', 'G', 'T', 'P', 'E'] as const;

/**
 * A size as Docker's and LVM's users write it, in bytes: `10G`, `64k`, `1.5T`, `20GiB`, `10GB`, `512`. All
 * prefixes are binary and case does not count, also in `10GB`; a fraction of a byte is dropped (go-units
 * size.go, `RAMInBytes`).
 *
 * @param what names the thing that has the size in the error, such as `--size` or `dm.basesize`
 * @throws ThinError invalid-argument
 */
export function parseSize(text: string, what = 'size'): number {
  const match = PATTERN.exec(text);
  if (match === null)
    throw new ThinError(
      'invalid-argument',
      `${what}: ${JSON.stringify(text)} is not a size; write a number with a unit, such as 10G, 512M, 64K or 1.5T (bytes without one)`,
    );
  const bytes = Math.floor(Number(match[1]) * 1024 ** PREFIXES.indexOf(match[2]?.toLowerCase() ?? ' '));
  if (!Number.isSafeInteger(bytes))
    throw new ThinError(
      'invalid-argument',
      `${what}: ${JSON.stringify(text)} is more than any device can have; 8191T is the largest size`,
    );
  return bytes;
}

/**
 * As `docker info` prints sizes: base 1000, four digits, `10.74GB` (go-units size.go, `HumanSize`; Go's
 * `%.4g`).
 */
export function formatSize(bytes: number): string {
  let size = bytes;
  let unit = 0;
  while (size >= 1000 && unit < DECIMAL_UNITS.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${fourDigits(size)}${DECIMAL_UNITS[unit]!}`;
}

/**
 * As lsblk and `df -h` print sizes: base 1024, at most one decimal, `10G`, `1.5T`, `512B` (util-linux
 * strutils.c, `size_to_human_string`).
 */
export function formatBinarySize(bytes: number): string {
  let exponent = 0;
  while (exponent < BINARY_UNITS.length - 1 && bytes >= 1024 ** (exponent + 1)) exponent += 1;
  const unit = 1024 ** exponent;
  const whole = Math.floor(bytes / unit);
  const thousandths = Math.floor((bytes / unit - whole) * 1000);
  const tenths = Math.floor((thousandths + 50) / 100);
  const shown = tenths === 10 ? String(whole + 1) : `${whole}${tenths === 0 ? '' : `.${tenths}`}`;
  return `${shown}${BINARY_UNITS[exponent]!}`;
}

/**
 * The four leading digits; where the fifth is an exact half, to the even side as Go does, and not up as
 * `toPrecision` does.
 */
function fourDigits(size: number): number {
  const decimals = size >= 100 ? 1 : size >= 10 ? 2 : 3;
  const rounded = Number(size.toPrecision(4));
  // Only a multiple of 2^-(decimals + 1) can end in a 5 right behind the last digit kept.
  if ((size * 2 ** (decimals + 1)) % 2 !== 1) return rounded;
  const last = Math.round(rounded * 10 ** decimals);
  return (last - (last % 2)) / 10 ** decimals;
}
