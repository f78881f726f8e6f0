import { checkBlock, readCount } from './disk-block.js';

export const INDEX_ENTRY_BYTES = 16;
const HEADER_BYTES = 16;
/** MAX_METADATA_BITMAPS: what the one index block of a metadata space map holds. */
export const INDEX_ENTRIES = 255;

/** As `struct disk_index_entry` of dm-space-map-common.h: where one bitmap lies. */
export interface IndexEntry {
  readonly bitmap: number;
  /** A hint; tools disagree on that of the last bitmap. */
  readonly free: number;
  /** A hint: no entry before this one is free. */
  readonly noneFreeBefore: number;
}

/** entry := blocknr:u64 nr-free:u32 none-free-before:u32. @throws ThinError damaged, naming `path` */
export function unpackIndexEntry(bytes: Buffer, path: string): IndexEntry {
  return {
    bitmap: readCount(bytes, 0, path, 'bitmap block'),
    free: bytes.readUInt32LE(8),
    noneFreeBefore: bytes.readUInt32LE(12),
  };
}

export function packIndexEntry({ bitmap, free, noneFreeBefore }: IndexEntry): Buffer {
  const bytes = Buffer.alloc(INDEX_ENTRY_BYTES);
  bytes.writeBigUInt64LE(BigInt(bitmap), 0);
  bytes.writeUInt32LE(free, 8);
  bytes.writeUInt32LE(noneFreeBefore, 12);
  return bytes;
}

/** Where entry `number` lies in the one index block of a metadata space map. */
export function indexEntryAt(number: number): number {
  return HEADER_BYTES + number * INDEX_ENTRY_BYTES;
}

/**
 * index := csum:u32 padding:u32 blocknr:u64 entry × 255
 *
 * The first `count` of its entries. @throws ThinError damaged, naming `path`
 */
export function unpackMetadataIndex(block: number, bytes: Buffer, count: number, path: string): IndexEntry[] {
  checkBlock('index', block, bytes, path);
  return Array.from({ length: Math.min(count, INDEX_ENTRIES) }, (_, index) => {
    const at = indexEntryAt(index);
    return unpackIndexEntry(bytes.subarray(at, at + INDEX_ENTRY_BYTES), path);
  });
}
