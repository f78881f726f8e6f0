import { LegacyPool } from '../../src/legacy/legacy-pool.js';
import { timedRuns } from '../../src/legacy/mappings.js';
import { METADATA_BLOCK, sealBlock } from '../../src/legacy/disk-block.js';
import { MemoryBlocks } from './legacy-metadata.js';
import type { XmlPool, XmlRange } from './legacy-xml.js';

/** What thin_dump would say, by our reader. Errors: damaged. */
export function dumpOf(pool: LegacyPool): XmlPool {
  const { superblock } = pool;
  return {
    attributes: {
      uuid: /^0*$/.test(superblock.uuid) ? '' : superblock.uuid,
      time: String(superblock.time),
      transaction: String(superblock.transactionId),
      flags: String(superblock.flags),
      version: String(superblock.version),
      data_block_size: String(superblock.blockSize / 512),
      nr_data_blocks: String(pool.dataBlocks),
    },
    devices: pool.devices.map(({ id, details, tree }) => ({
      attributes: {
        dev_id: String(id),
        mapped_blocks: String(details?.mappedBlocks),
        transaction: String(details?.transactionId),
        creation_time: String(details?.creationTime),
        snap_time: String(details?.snapTime),
      },
      ranges: [...timedRuns(tree!, { dataBlocks: pool.dataBlocks })].map(
        ({ begin, data, length, time }): XmlRange => ({ begin, data, length, time }),
      ),
    })),
  };
}

/**
 * Makes device `to` share the whole tree of device `from`, as a snapshot that nobody wrote to. In place; the
 * top tree has one node.
 */
export function shareRoot(metadata: Buffer, from: number, to: number): void {
  const pool = LegacyPool.open(new MemoryBlocks(metadata));
  const block = pool.superblock.mappingRoot;
  const node = pool.nodes.node(block, 'device tree');
  const top = metadata.subarray(block * METADATA_BLOCK, (block + 1) * METADATA_BLOCK);
  const valuesAt = 32 + top.readUInt32LE(20) * 8;
  const place = (id: number): number => valuesAt + node.keys.indexOf(id) * 8;
  top.writeBigUInt64LE(top.readBigUInt64LE(place(from)), place(to));
  sealBlock('node', block, top);
}

/** Flips a bit of a metadata block, in place. */
export function damageBlock(metadata: Buffer, block: number, at = 2000): void {
  metadata[block * METADATA_BLOCK + at]! ^= 0x10;
}

/** Blocks of a device's nodes, its root first and leaves last. */
export function nodesOf(metadata: Buffer, id: number): readonly number[] {
  return [...LegacyPool.open(new MemoryBlocks(metadata)).device(id)!.tree!.blocks()];
}
