import { METADATA_BLOCK, sealBlock } from '../disk-block.js';
import type { Counts } from '../reference-counts.js';
import { clearBitmapEntry, BITMAP_ENTRIES } from '../space-map-bitmap.js';
import { indexEntryAt, packIndexEntry, unpackIndexEntry } from '../space-map-index.js';
import { ALLOCATED_AT } from '../space-map-root.js';
import { FLAGS_AT, METADATA_SPACE_MAP_AT, NEEDS_CHECK } from '../superblock.js';
import type { ToolBlocks } from './tool-blocks.js';
import type { ToolSpaceMap } from './tool-counts.js';
import type { ToolSuperblock } from './tool-superblock.js';

/** Where a mended block goes; `bytes` are those of a whole block, sealed. */
export type WriteBlock = (block: number, bytes: Uint8Array) => void;

/**
 * Blocks of metadata that are counted and that nothing refers to; undefined where a count is wrong in
 * another way, for then thin_check 0.9 frees none of them. @throws ToolFault
 */
export function leakedBlocks(
  map: ToolSpaceMap,
  { metadataSpaceMap }: ToolSuperblock,
  expected: Counts,
): readonly number[] | undefined {
  const leaked: number[] = [];
  for (let block = 0; block < metadataSpaceMap.blocks; block++) {
    const [actual, wanted] = [map.count(block), expected.of(block)];
    if (actual === wanted) continue;
    if (wanted > 0 || actual > 2) return undefined;
    leaked.push(block);
  }
  return leaked;
}

/**
 * Frees them in place: bitmaps first, the superblock last. A crash between leaves totals of free blocks that
 * are too small, so that a pool uses some of them later or never, and no block twice. @throws ToolFault
 */
export function freeBlocks(
  blocks: ToolBlocks,
  { metadataSpaceMap }: ToolSuperblock,
  leaked: readonly number[],
  write: WriteBlock,
): void {
  const index = Buffer.from(blocks.read('index', metadataSpaceMap.bitmapRoot));
  for (const number of new Set(leaked.map((block) => Math.floor(block / BITMAP_ENTRIES)))) {
    const at = indexEntryAt(number);
    const entry = unpackIndexEntry(index.subarray(at), 'index');
    const bitmap = Buffer.from(blocks.read('bitmap', entry.bitmap));
    const own = leaked.filter((block) => Math.floor(block / BITMAP_ENTRIES) === number);
    for (const block of own) clearBitmapEntry(bitmap, block % BITMAP_ENTRIES);
    write(entry.bitmap, sealBlock('bitmap', entry.bitmap, bitmap));
    const free = entry.free + own.length;
    const noneFreeBefore = Math.min(entry.noneFreeBefore, own[0]! % BITMAP_ENTRIES);
    packIndexEntry({ ...entry, free, noneFreeBefore }).copy(index, at);
  }
  write(metadataSpaceMap.bitmapRoot, sealBlock('index', metadataSpaceMap.bitmapRoot, index));
  changeSuperblock(blocks, write, (bytes) => {
    const at = METADATA_SPACE_MAP_AT + ALLOCATED_AT;
    bytes.writeBigUInt64LE(bytes.readBigUInt64LE(at) - BigInt(leaked.length), at);
  });
}

/** @returns whether the flag was set; @throws ToolFault */
export function clearNeedsCheck(blocks: ToolBlocks, write: WriteBlock): boolean {
  const flags = blocks.superblock(0).readUInt32LE(FLAGS_AT);
  if ((flags & NEEDS_CHECK) === 0) return false;
  changeSuperblock(blocks, write, (bytes) => bytes.writeUInt32LE((flags & ~NEEDS_CHECK) >>> 0, FLAGS_AT));
  return true;
}

function changeSuperblock(blocks: ToolBlocks, write: WriteBlock, change: (bytes: Buffer) => void): void {
  const bytes = Buffer.alloc(METADATA_BLOCK);
  blocks.superblock(0).copy(bytes);
  change(bytes);
  write(0, sealBlock('superblock', 0, bytes));
}
