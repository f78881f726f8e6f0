import { readFile } from 'node:fs/promises';
import type { BlockReader } from '../../src/legacy/block-reader.js';
import { DETAILS_BYTES } from '../../src/legacy/device-details.js';
import { METADATA_BLOCK } from '../../src/legacy/disk-block.js';
import { LegacyPool } from '../../src/legacy/legacy-pool.js';
import { MAPPING_BYTES } from '../../src/legacy/mapping-value.js';
import type { LegacySuperblock } from '../../src/legacy/superblock.js';
import {
  packDetails,
  packMappingValue,
  packSuperblock,
  packTreeNode,
  type NodeEntries,
} from './legacy-pack.js';

/** Metadata in memory. */
export class MemoryBlocks implements BlockReader {
  readonly path = 'memory';
  readonly bytes: Buffer;
  /** How often a block was read. */
  reads = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  static async of(file: string): Promise<MemoryBlocks> {
    return new MemoryBlocks(await readFile(file));
  }

  get blocks(): number {
    return Math.floor(this.bytes.length / METADATA_BLOCK);
  }

  read(block: number, into?: Buffer): Buffer {
    this.reads++;
    const bytes = this.bytes.subarray(block * METADATA_BLOCK, (block + 1) * METADATA_BLOCK);
    if (into === undefined) return Buffer.from(bytes);
    bytes.copy(into);
    return into;
  }
}

export interface BuiltDevice {
  readonly id: number;
  readonly creationTime: number;
  readonly snapTime: number;
  /** Virtual block → data block and time. */
  readonly mappings: ReadonlyMap<number, { readonly data: number; readonly time: number }>;
}

export const SUPERBLOCK: LegacySuperblock = {
  flags: 0,
  needsCheck: false,
  uuid: '00'.repeat(16),
  version: 2,
  time: 0,
  transactionId: 1n,
  heldRoot: 0,
  dataSpaceMap: { blocks: 0, allocated: 0, bitmapRoot: 0, refCountRoot: 0 },
  metadataSpaceMap: { blocks: 0, allocated: 0, bitmapRoot: 0, refCountRoot: 0 },
  mappingRoot: 0,
  detailsRoot: 0,
  blockSize: 65536,
  metadataBlocks: 0,
  compatFlags: 0,
  compatRoFlags: 0,
  incompatFlags: 0,
};

/**
 * Metadata with trees and without space maps. Nodes of the same content are one node, so devices share what
 * they have in common, as after snapshots. Few entries a node make trees high.
 */
export function buildMetadata(
  devices: readonly BuiltDevice[],
  options: { readonly dataBlocks: number; readonly leaf?: number; readonly fan?: number },
): Buffer {
  const { dataBlocks, leaf = 4, fan = 3 } = options;
  const blocks: Buffer[] = [Buffer.alloc(METADATA_BLOCK)];
  const known = new Map<string, number>();
  const add = (node: NodeEntries): number => {
    const content = `${node.isLeaf} ${node.valueSize} ${node.entries
      .map(({ key, value }) => `${key}:${value.toString('hex')}`)
      .join(' ')}`;
    const block = known.get(content) ?? blocks.length;
    if (!known.has(content)) blocks.push(packTreeNode(block, node));
    known.set(content, block);
    return block;
  };
  const tree = (entries: readonly { key: number; value: Buffer }[], valueSize: number): number => {
    let level = cut(entries, leaf).map((some) => ({
      key: some[0]?.key ?? 0,
      block: add({ isLeaf: true, valueSize, entries: some }),
    }));
    while (level.length > 1)
      level = cut(level, fan).map((some) => ({
        key: some[0]?.key ?? 0,
        block: add({
          isLeaf: false,
          valueSize: 8,
          entries: some.map(({ key, block }) => ({ key, value: blockValue(block) })),
        }),
      }));
    return level[0]?.block ?? 0;
  };
  const sorted = [...devices].sort((a, b) => a.id - b.id);
  const roots = sorted.map(({ id, mappings }) => ({
    key: id,
    value: blockValue(
      tree(
        [...mappings]
          .sort(([a], [b]) => a - b)
          .map(([key, value]) => ({ key, value: packMappingValue(value) })),
        MAPPING_BYTES,
      ),
    ),
  }));
  const details = sorted.map(({ id, mappings, creationTime, snapTime }) => ({
    key: id,
    value: packDetails({
      mappedBlocks: BigInt(mappings.size),
      transactionId: BigInt(id),
      creationTime,
      snapTime,
    }),
  }));
  const mappingRoot = tree(roots, 8);
  const detailsRoot = tree(details, DETAILS_BYTES);
  const space = { ...SUPERBLOCK.dataSpaceMap, blocks: dataBlocks };
  blocks[0] = packSuperblock(0, {
    ...SUPERBLOCK,
    dataSpaceMap: space,
    mappingRoot,
    detailsRoot,
    metadataBlocks: blocks.length,
  });
  return Buffer.concat(blocks);
}

export function openBuilt(
  devices: readonly BuiltDevice[],
  options: { readonly dataBlocks: number; readonly leaf?: number; readonly fan?: number },
): LegacyPool {
  return LegacyPool.open(new MemoryBlocks(buildMetadata(devices, options)));
}

function blockValue(block: number): Buffer {
  const value = Buffer.alloc(8);
  value.writeBigUInt64LE(BigInt(block));
  return value;
}

/** Pieces that begin where keys are multiples, so that a change of one leaves the others as they were. */
function cut<T extends { readonly key: number }>(all: readonly T[], most: number): T[][] {
  if (all.length === 0) return [[]];
  const pieces: T[][] = [];
  let current = -1;
  for (const entry of all) {
    const last = pieces.at(-1);
    const place = Math.floor(entry.key / most);
    if (last === undefined || last.length >= most || place !== current) pieces.push([entry]);
    else last.push(entry);
    current = place;
  }
  // Upper levels have to get smaller.
  return pieces.length < all.length || all.length === 1 ? pieces : chunked(all, most);
}

function chunked<T>(all: readonly T[], most: number): T[][] {
  const pieces: T[][] = [];
  for (let at = 0; at < all.length; at += most) pieces.push(all.slice(at, at + most));
  return pieces;
}
