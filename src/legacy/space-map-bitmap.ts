import { checkBlock, METADATA_BLOCK } from './disk-block.js';

const HEADER_BYTES = 16;
const ENTRIES_PER_BYTE = 4;
/** Entries of two bits that a bitmap holds behind its header. */
export const BITMAP_ENTRIES = (METADATA_BLOCK - HEADER_BYTES) * ENTRIES_PER_BYTE;

/**
 * How often a block is used; `many`: three times or more, and the count is in the tree of reference counts.
 */
export type BitmapCount = 0 | 1 | 2 | 'many';
/**
 * The low bit of a pair comes first on disk, and counts for two (dm-space-map-common.c, `sm_lookup_bitmap`).
 */
const COUNTS: readonly BitmapCount[] = [0, 2, 1, 'many'];

/** How many of the four entries of a byte are in use. */
const USED = Uint8Array.from({ length: 256 }, (_, byte) =>
  [0, 2, 4, 6].reduce((sum, shift) => sum + (((byte >>> shift) & 3) === 0 ? 0 : 1), 0),
);

/** bitmap := csum:u32 unused:u32 blocknr:u64 pair × 16320 */
export class Bitmap {
  /** Entries. */
  readonly length: number;
  readonly #bytes: Buffer;

  /** The first `count` entries of it. @throws ThinError damaged, naming `path` */
  constructor(block: number, bytes: Buffer, count: number, path: string) {
    checkBlock('bitmap', block, bytes, path);
    this.#bytes = bytes;
    this.length = Math.min(count, BITMAP_ENTRIES);
  }

  at(index: number): BitmapCount {
    return COUNTS[(this.#bytes[HEADER_BYTES + (index >>> 2)]! >>> ((index & 3) * 2)) & 3]!;
  }

  /** Entries that are not 0. */
  get used(): number {
    const whole = Math.floor(this.length / ENTRIES_PER_BYTE);
    let used = 0;
    for (let at = HEADER_BYTES; at < HEADER_BYTES + whole; at++) used += USED[this.#bytes[at]!]!;
    for (let index = whole * ENTRIES_PER_BYTE; index < this.length; index++) if (this.at(index) !== 0) used++;
    return used;
  }
}

/** Entry `index` of a bitmap's block is 0 from now on; the block is not sealed. */
export function clearBitmapEntry(bytes: Buffer, index: number): void {
  bytes[HEADER_BYTES + (index >>> 2)]! &= ~(3 << ((index & 3) * 2));
}
