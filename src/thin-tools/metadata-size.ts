import { ThinError } from '../errors/thin-error.js';

/**
 * Units of thin_metadata_size: a letter, or the beginning of the word. Small letters are binary, capitals
 * decimal.
 */
const UNITS = [
  ['b', 'bytes', 1],
  ['s', 'sectors', 512],
  ['k', 'kibibytes', 1024],
  ['K', 'kilobytes', 1e3],
  ['m', 'mebibytes', 1024 ** 2],
  ['M', 'megabytes', 1e6],
  ['g', 'gibibytes', 1024 ** 3],
  ['G', 'gigabytes', 1e9],
  ['t', 'tebibytes', 1024 ** 4],
  ['T', 'terabytes', 1e12],
  ['p', 'pebibytes', 1024 ** 5],
  ['P', 'petabytes', 1e15],
  ['e', 'ebibytes', 1024 ** 6],
  ['E', 'exabytes', 1e18],
] as const;

export interface SizeUnit {
  readonly letter: string;
  readonly word: string;
  readonly bytes: number;
}

const BLOCK = 4096;
/**
 * Of dm-thin, less a generous header; a node of ours takes more (format/node.ts), so that the estimate leaves
 * room.
 */
const MAPPINGS_PER_BLOCK = 252;

/** @throws ThinError invalid-argument */
export function parseUnit(text: string): SizeUnit {
  const found = UNITS.find(([letter, word]) => letter === text || (text.length > 1 && word.startsWith(text)));
  if (found === undefined)
    throw new ThinError(
      'invalid-argument',
      `${JSON.stringify(text)} is not a unit; take one of ${UNITS.map(([letter]) => letter).join(' ')}, or its word, such as mebibytes`,
    );
  return { letter: found[0], word: found[1], bytes: found[2] };
}

/** Bytes; a number without a unit counts sectors. @throws ThinError invalid-argument */
export function parseUnitSize(text: string, what: string): number {
  const { amount, unit } = amountOf(text, what);
  return amount * (unit?.bytes ?? 512);
}

/** A number that may have a unit, as in `1M` for a million. @throws ThinError invalid-argument */
export function parseQuantity(text: string, what: string): number {
  const { amount, unit } = amountOf(text, what);
  return amount * (unit?.bytes ?? 1);
}

/**
 * The size that the metadata of a pool may reach, in bytes, as thin_metadata_size 0.9.0 counts: twice the
 * leaves that all mappings fill, because they are half full on average, and one block a device.
 * @param blockSize bytes, a power of two; @param poolSize bytes, more than one block
 * @throws ThinError invalid-argument
 */
export function metadataSize(blockSize: number, poolSize: number, maxThins: number): number {
  const [block, pool] = [Math.floor(blockSize / 512), Math.floor(poolSize / 512)];
  if (block < 1 || !Number.isInteger(Math.log2(block)))
    throw new ThinError('invalid-argument', 'the block size must be a power of two, such as 64k');
  if (pool <= block)
    throw new ThinError('invalid-argument', 'the pool must be larger than one of its blocks');
  if (maxThins < 1) throw new ThinError('invalid-argument', 'give at least one device as --max-thins');
  const leaves = Math.floor(Math.floor((2 * pool) / block) / MAPPINGS_PER_BLOCK);
  return (1 + leaves + maxThins) * BLOCK;
}

/**
 * As thin_metadata_size prints it: whole, or with two decimals, or in powers of ten where those would be
 * zeroes.
 */
export function formatAmount(bytes: number, unit: SizeUnit): string {
  const amount = bytes / unit.bytes;
  const fraction = amount - Math.floor(amount);
  if (fraction === 0) return String(amount);
  if (fraction >= 0.01) return toHundredths(amount);
  const [mantissa = '', exponent = ''] = amount.toExponential(2).split('e');
  return `${mantissa}e${exponent.startsWith('-') ? '-' : '+'}${exponent.slice(1).padStart(2, '0')}`;
}

/** As printf does, which takes the even one of two that are as near; `toFixed` takes the larger. */
function toHundredths(amount: number): string {
  const cents = Math.floor(amount * 100);
  // Exact where it matters: a half of a hundredth is a multiple of an eighth.
  const isHalfway = Number.isInteger(amount * 8) && amount * 100 - cents === 0.5;
  return isHalfway && cents % 2 === 0 ? (cents / 100).toFixed(2) : amount.toFixed(2);
}

/**
 * A number with its unit's word, as thin_metadata_size repeats what it was asked.
 * @param unitless stands where there is no unit; @throws ThinError invalid-argument
 */
export function worded(text: string, what: string, unitless = ''): string {
  const { amount, unit } = amountOf(text, what);
  return `${amount}${unit?.word ?? unitless}`;
}

function amountOf(text: string, what: string): { amount: number; unit: SizeUnit | undefined } {
  const [, digits = '', rest = ''] = /^(\d+)(.*)$/.exec(text) ?? [];
  if (digits === '')
    throw new ThinError('invalid-argument', `${what}: ${JSON.stringify(text)} is not a number with a unit`);
  return { amount: Number(digits), unit: rest === '' ? undefined : parseUnit(rest) };
}
