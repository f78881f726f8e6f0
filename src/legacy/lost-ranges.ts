import { ThinError } from '../errors/thin-error.js';
import type { LostRange } from './legacy-tree.js';

const SHOWN = 5;

/** In words, and in bytes as well as blocks: `blocks 252 to 503 (bytes 16515072 to 33030143)`. */
export function describeLost({ begin, end }: LostRange, blockSize: number): string {
  if (end === Infinity) return `everything from block ${begin} (byte ${begin * blockSize}) on`;
  const bytes = `bytes ${begin * blockSize} to ${end * blockSize - 1}`;
  return end - begin === 1
    ? `block ${begin} (${bytes})`
    : `the range of blocks ${begin} to ${end - 1} (${bytes})`;
}

/** One a line, with where the damage is. */
export function lostLines(lost: readonly LostRange[], blockSize: number): readonly string[] {
  return lost.map((range) => `${range.path}: ${range.problem}; ${describeLost(range, blockSize)} is lost`);
}

/** Why a device is refused that is not whole. */
export function damagedDevice(name: string, lost: readonly LostRange[], blockSize: number): ThinError {
  const shown = lostLines(lost.slice(0, SHOWN), blockSize).join('; ');
  const more = lost.length > SHOWN ? `; and ${lost.length - SHOWN} ranges more` : '';
  return new ThinError(
    'damaged',
    `device ${name} is not whole: ${shown}${more}; --skip-damaged reads them as zeroes`,
    { details: { device: name, ranges: lost.length } },
  );
}
