import assert from 'node:assert/strict';
import { checkBlock, METADATA_BLOCK, sealBlock } from './disk-block.js';

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

/**
 * bitmap := csum:u32 unused:u32 blocknr:u64 pair × 16320
 *
 * The first `count` entries. @throws ThinError damaged, naming `path`
 */
export function unpackBitmap(block: number, bytes: Buffer, count: number, path: string): BitmapCount[] {
  checkBlock('bitmap', block, bytes, path);
  return Array.from({ length: Math.min(count, BITMAP_ENTRIES) }, (_, index) => {
    const byte = bytes[HEADER_BYTES + Math.floor(index / ENTRIES_PER_BYTE)]!;
    return COUNTS[(byte >>> ((index % ENTRIES_PER_BYTE) * 2)) & 3]!;
  });
}

export function packBitmap(block: number, counts: readonly BitmapCount[]): Buffer {
  assert(counts.length <= BITMAP_ENTRIES, 'a bitmap holds no more');
  const bytes = Buffer.alloc(METADATA_BLOCK);
  counts.forEach((count, index) => {
    const at = HEADER_BYTES + Math.floor(index / ENTRIES_PER_BYTE);
    bytes[at]! |= COUNTS.indexOf(count) << ((index % ENTRIES_PER_BYTE) * 2);
  });
  return sealBlock('bitmap', block, bytes);
}
