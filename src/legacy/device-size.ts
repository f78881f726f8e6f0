import { ThinError } from '../errors/thin-error.js';
import { SECTOR } from './disk-block.js';

export interface SizeClues {
  /** What the user says. */
  readonly asked: number | undefined;
  /** What LVM's text says: the size that its table has. */
  readonly exact?: number | undefined;
  /** What Docker recorded. */
  readonly recorded: number | undefined;
  /** What the filesystem on it spans. */
  readonly filesystem: number | undefined;
  /** The last mapped block; undefined where nothing is mapped. */
  readonly lastBlock: number | undefined;
  readonly blockSize: number;
}

/**
 * Bytes of a thin device. dm-thin's metadata does not hold it (a device has the size of the table that it was
 * activated with), so it is what was asked for, what LVM gives it, or what Docker recorded, and at least what
 * its filesystem spans; without either, it ends with the last mapped block. Errors: invalid-argument (less
 * than is mapped, no whole sectors; nothing tells the size).
 */
export function deviceSize(name: string, clues: SizeClues): number {
  const { asked, exact, recorded, filesystem, lastBlock, blockSize } = clues;
  // The device may end inside its last block.
  const least = lastBlock === undefined ? 0 : lastBlock * blockSize + SECTOR;
  if (asked !== undefined) {
    if (asked < least || asked % SECTOR !== 0)
      throw new ThinError(
        'invalid-argument',
        `device ${name} cannot have ${asked} bytes: it has data up to block ${lastBlock ?? 0} (byte ${least}), and sectors of ${SECTOR} bytes`,
        { details: { device: name } },
      );
    return asked;
  }
  if (exact !== undefined) return exact;
  const end = lastBlock === undefined ? 0 : (lastBlock + 1) * blockSize;
  const size = Math.max(recorded ?? end, filesystem ?? 0, least);
  if (size === 0)
    throw new ThinError(
      'invalid-argument',
      `device ${name} has nothing mapped, and nothing says how large it is; give its --size`,
      { details: { device: name } },
    );
  return Math.ceil(size / SECTOR) * SECTOR;
}
