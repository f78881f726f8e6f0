import assert from 'node:assert/strict';
import { DETAILS_BYTES, type DeviceDetails } from '../../src/legacy/device-details.js';
import { METADATA_BLOCK, sealBlock, SECTOR } from '../../src/legacy/disk-block.js';
import { MAPPING_BYTES, type MappingValue } from '../../src/legacy/mapping-value.js';
import { BITMAP_ENTRIES, type BitmapCount } from '../../src/legacy/space-map-bitmap.js';
import { indexEntryAt, packIndexEntry, type IndexEntry } from '../../src/legacy/space-map-index.js';
import type { SpaceMapRoot } from '../../src/legacy/space-map-root.js';
import { FLAGS_AT, METADATA_SPACE_MAP_AT, type LegacySuperblock } from '../../src/legacy/superblock.js';

// The kernel writes old pools, and thinfuse reads them: what packs them is for tests alone.

const NODE_HEADER = 32;
const BITMAP_HEADER = 16;
const COUNTS: readonly BitmapCount[] = [0, 2, 1, 'many'];

export interface NodeEntries {
  readonly isLeaf: boolean;
  readonly valueSize: number;
  readonly entries: readonly { readonly key: number | bigint; readonly value: Buffer }[];
}

/**
 * Entries that the kernel gives a node: a third of a node may go to its neighbours (dm-btree.c,
 * `calc_max_entries`).
 */
export function maxEntries(valueSize: number): number {
  return Math.floor((METADATA_BLOCK - NODE_HEADER) / (8 + valueSize) / 3) * 3;
}

export function packTreeNode(block: number, { isLeaf, valueSize, entries }: NodeEntries): Buffer {
  const capacity = maxEntries(valueSize);
  assert(entries.length <= capacity, 'a node holds no more');
  const bytes = Buffer.alloc(METADATA_BLOCK);
  bytes.writeUInt32LE(isLeaf ? 2 : 1, 4);
  bytes.writeUInt32LE(entries.length, 16);
  bytes.writeUInt32LE(capacity, 20);
  bytes.writeUInt32LE(valueSize, 24);
  entries.forEach(({ key, value }, index) => {
    bytes.writeBigUInt64LE(BigInt(key), NODE_HEADER + index * 8);
    value.copy(bytes, NODE_HEADER + capacity * 8 + index * valueSize, 0, valueSize);
  });
  return sealBlock('node', block, bytes);
}

export function packDetails(details: DeviceDetails): Buffer {
  const bytes = Buffer.alloc(DETAILS_BYTES);
  bytes.writeBigUInt64LE(details.mappedBlocks, 0);
  bytes.writeBigUInt64LE(details.transactionId, 8);
  bytes.writeUInt32LE(details.creationTime, 16);
  bytes.writeUInt32LE(details.snapTime, 20);
  return bytes;
}

export function packMappingValue({ data, time }: MappingValue): Buffer {
  const bytes = Buffer.alloc(MAPPING_BYTES);
  bytes.writeBigUInt64LE((BigInt(data) << 24n) | BigInt(time & 0xffffff));
  return bytes;
}

export function packBitmap(block: number, counts: readonly BitmapCount[]): Buffer {
  assert(counts.length <= BITMAP_ENTRIES, 'a bitmap holds no more');
  const bytes = Buffer.alloc(METADATA_BLOCK);
  counts.forEach((count, index) => {
    const at = BITMAP_HEADER + Math.floor(index / 4);
    bytes[at]! |= COUNTS.indexOf(count) << ((index % 4) * 2);
  });
  return sealBlock('bitmap', block, bytes);
}

export function packMetadataIndex(block: number, entries: readonly IndexEntry[]): Buffer {
  const bytes = Buffer.alloc(METADATA_BLOCK);
  entries.forEach((entry, index) => packIndexEntry(entry).copy(bytes, indexEntryAt(index)));
  return sealBlock('index', block, bytes);
}

export function packSpaceMapRoot(root: SpaceMapRoot): Buffer {
  const bytes = Buffer.alloc(128);
  [root.blocks, root.allocated, root.bitmapRoot, root.refCountRoot].forEach((value, index) =>
    bytes.writeBigUInt64LE(BigInt(value), index * 8),
  );
  return bytes;
}

export function packSuperblock(block: number, superblock: LegacySuperblock): Buffer {
  const bytes = Buffer.alloc(METADATA_BLOCK);
  bytes.writeUInt32LE(superblock.flags, FLAGS_AT);
  bytes.write(superblock.uuid, 16, 'hex');
  bytes.writeBigUInt64LE(27022010n, 32);
  bytes.writeUInt32LE(superblock.version, 40);
  bytes.writeUInt32LE(superblock.time, 44);
  bytes.writeBigUInt64LE(superblock.transactionId, 48);
  bytes.writeBigUInt64LE(BigInt(superblock.heldRoot), 56);
  packSpaceMapRoot(superblock.dataSpaceMap).copy(bytes, 64);
  packSpaceMapRoot(superblock.metadataSpaceMap).copy(bytes, METADATA_SPACE_MAP_AT);
  bytes.writeBigUInt64LE(BigInt(superblock.mappingRoot), 320);
  bytes.writeBigUInt64LE(BigInt(superblock.detailsRoot), 328);
  bytes.writeUInt32LE(superblock.blockSize / SECTOR, 336);
  bytes.writeUInt32LE(METADATA_BLOCK / SECTOR, 340);
  bytes.writeBigUInt64LE(BigInt(superblock.metadataBlocks), 344);
  bytes.writeUInt32LE(superblock.compatFlags, 352);
  bytes.writeUInt32LE(superblock.compatRoFlags, 356);
  bytes.writeUInt32LE(superblock.incompatFlags, 360);
  return sealBlock('superblock', block, bytes);
}
