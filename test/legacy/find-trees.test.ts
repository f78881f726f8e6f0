import assert from 'node:assert/strict';
import { DETAILS_BYTES } from '../../src/legacy/device-details.js';
import { METADATA_BLOCK } from '../../src/legacy/disk-block.js';
import { findTrees } from '../../src/legacy/find-trees.js';
import { MAPPING_BYTES } from '../../src/legacy/mapping-value.js';
import { NodeReader } from '../../src/legacy/node-reader.js';
import { MemoryBlocks } from '../support/legacy-metadata.js';
import { packDetails, packMappingValue, packTreeNode } from '../support/legacy-pack.js';

/** Trees of a pool with one device that maps `mapped` blocks, in three blocks from `first` on. */
function trees(first: number, mapped: number): readonly Buffer[] {
  const root = Buffer.alloc(8);
  root.writeBigUInt64LE(BigInt(first));
  const record = packDetails({
    mappedBlocks: BigInt(mapped),
    transactionId: 1n,
    creationTime: 0,
    snapTime: 0,
  });
  const mappings = Array.from({ length: mapped }, (_, key) => ({
    key,
    value: packMappingValue({ data: key, time: 0 }),
  }));
  return [
    packTreeNode(first, { isLeaf: true, valueSize: MAPPING_BYTES, entries: mappings }),
    packTreeNode(first + 1, { isLeaf: true, valueSize: 8, entries: [{ key: 1, value: root }] }),
    packTreeNode(first + 2, { isLeaf: true, valueSize: DETAILS_BYTES, entries: [{ key: 1, value: record }] }),
  ];
}

describe('legacy: the trees of a lost superblock', () => {
  it('are those that map most where several are as new, and the others are counted', () => {
    // Writes between two commits change neither transaction nor time.
    const blocks = [Buffer.alloc(METADATA_BLOCK), ...trees(1, 3), ...trees(4, 9), ...trees(7, 5)];
    const found = findTrees(new NodeReader(new MemoryBlocks(Buffer.concat(blocks))));
    assert.deepEqual(found, { mappingRoot: 5, detailsRoot: 6, transactionId: 1n, time: 0, rivals: 2 });
  });
});
