import assert from 'node:assert/strict';
import fc from 'fast-check';
import { unpackDetails } from '../../src/legacy/device-details.js';
import { checkBlock, METADATA_BLOCK, sealBlock, type BlockKind } from '../../src/legacy/disk-block.js';
import { probeFilesystem } from '../../src/legacy/filesystem-probe.js';
import { dataBlockOf, unpackMappingValue } from '../../src/legacy/mapping-value.js';
import { Bitmap, BITMAP_ENTRIES } from '../../src/legacy/space-map-bitmap.js';
import { packIndexEntry, unpackIndexEntry, unpackMetadataIndex } from '../../src/legacy/space-map-index.js';
import { unpackSpaceMapRoot } from '../../src/legacy/space-map-root.js';
import { unpackSuperblock } from '../../src/legacy/superblock.js';
import { unpackTreeNode } from '../../src/legacy/tree-node.js';
import { SUPERBLOCK } from '../support/legacy-metadata.js';
import {
  maxEntries,
  packBitmap,
  packDetails,
  packMappingValue,
  packMetadataIndex,
  packSpaceMapRoot,
  packSuperblock,
  packTreeNode,
} from '../support/legacy-pack.js';

const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const count = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const damaged = { code: 'damaged' };

describe('legacy: structs on disk', () => {
  it('seals blocks so that another kind, place or bit is found out', () => {
    const kinds: readonly BlockKind[] = ['superblock', 'node', 'bitmap', 'index'];
    for (const kind of kinds) {
      const bytes = sealBlock(kind, 7, Buffer.alloc(METADATA_BLOCK, 3));
      checkBlock(kind, 7, bytes, 'here');
      assert.throws(() => checkBlock(kind, 8, bytes, 'here'), damaged);
      for (const other of kinds.filter((one) => one !== kind))
        assert.throws(() => checkBlock(other, 7, bytes, 'here'), damaged);
      for (const at of [0, 4, 8, 20, METADATA_BLOCK - 1]) {
        bytes[at]! ^= 1;
        assert.throws(() => checkBlock(kind, 7, bytes, 'here'), { ...damaged, message: /^here is damaged/ });
        bytes[at]! ^= 1;
      }
      assert.throws(() => checkBlock(kind, 7, bytes.subarray(1), 'here'), damaged);
    }
  });

  it('reads a superblock as it was written, in every field', () => {
    const plain = { noNullPrototype: true };
    const root = fc.record(
      { blocks: count, allocated: count, bitmapRoot: count, refCountRoot: count },
      plain,
    );
    const superblock = fc.record({
      flags: u32,
      uuid: fc
        .uint8Array({ minLength: 16, maxLength: 16 })
        .map((bytes) => Buffer.from(bytes).toString('hex')),
      version: fc.constantFrom(1, 2),
      time: u32,
      transactionId: u64,
      heldRoot: count,
      dataSpaceMap: root,
      metadataSpaceMap: root,
      mappingRoot: count,
      detailsRoot: count,
      blockSize: fc.integer({ min: 1, max: 16384 }).map((steps) => steps * 65536),
      metadataBlocks: count,
      compatFlags: u32,
      compatRoFlags: u32,
    });
    fc.assert(
      fc.property(superblock, count, (fields, block) => {
        const written = { ...fields, needsCheck: (fields.flags & 1) === 1, incompatFlags: 0 };
        assert.deepEqual(unpackSuperblock(block, packSuperblock(block, written), 'superblock'), written);
      }),
    );
  });

  it('refuses superblocks that are none, newer, or impossible', () => {
    const refused = (change: Partial<typeof SUPERBLOCK>, code: string): void => {
      const bytes = packSuperblock(0, { ...SUPERBLOCK, ...change });
      assert.throws(() => unpackSuperblock(0, bytes, 'here'), { code }, JSON.stringify(Object.keys(change)));
    };
    refused({ version: 3 }, 'wrong-version');
    refused({ incompatFlags: 4 }, 'unsupported');
    for (const blockSize of [0, 512, 65536 + 512, 2 ** 30 + 65536]) refused({ blockSize }, 'damaged');
    assert.throws(() => unpackSuperblock(0, Buffer.alloc(METADATA_BLOCK), 'here'), {
      code: 'invalid-argument',
    });
    assert.throws(() => unpackSuperblock(0, Buffer.alloc(10), 'here'), { code: 'invalid-argument' });
    const huge = packSuperblock(0, SUPERBLOCK);
    huge.writeBigUInt64LE(2n ** 60n, 320);
    assert.throws(() => unpackSuperblock(0, sealBlock('superblock', 0, huge), 'here'), damaged);
  });

  it('has as many entries in a node as the kernel', () => {
    assert.deepEqual([8, 24, 16, 4].map(maxEntries), [252, 126, 168, 336]);
  });

  it('reads nodes as they were written, with every size of value', () => {
    const node = fc.constantFrom(4, 8, 16, 24).chain((valueSize) =>
      fc.record({
        isLeaf: valueSize === 8 ? fc.boolean() : fc.constant(true),
        valueSize: fc.constant(valueSize),
        keys: fc.uniqueArray(count, { minLength: 1, maxLength: maxEntries(valueSize) }),
        fill: fc.integer({ min: 0, max: 255 }),
      }),
    );
    fc.assert(
      fc.property(node, ({ isLeaf, valueSize, keys, fill }) => {
        keys.sort((a, b) => a - b);
        const value = Buffer.alloc(valueSize, fill);
        const bytes = packTreeNode(5, { isLeaf, valueSize, entries: keys.map((key) => ({ key, value })) });
        const read = unpackTreeNode(5, bytes, 'node');
        assert.deepEqual([...read.keys], keys);
        assert.deepEqual([read.isLeaf, read.valueSize, read.block], [isLeaf, valueSize, 5]);
        assert.deepEqual(read.value(keys.length - 1), value);
        const probe = keys[Math.floor(keys.length / 2)]!;
        assert.equal(read.keys[read.floor(probe)], probe);
        assert.equal(read.keys[read.ceiling(probe)], probe);
        assert.equal(read.floor(keys[0]! - 1), -1);
        assert.equal(read.ceiling(keys.at(-1)! + 1), keys.length);
      }),
    );
  });

  it('refuses nodes whose header or order cannot be', () => {
    const value = Buffer.alloc(8);
    const make = (
      change: (bytes: Buffer) => void,
      keys: readonly (number | bigint)[] = [1, 2, 3],
    ): Buffer => {
      const bytes = packTreeNode(5, {
        isLeaf: true,
        valueSize: 8,
        entries: keys.map((key) => ({ key, value })),
      });
      change(bytes);
      return sealBlock('node', 5, bytes);
    };
    const wrong: readonly Buffer[] = [
      make((bytes) => bytes.writeUInt32LE(0, 4)),
      make((bytes) => bytes.writeUInt32LE(3, 4)),
      make((bytes) => bytes.writeUInt32LE(253, 16)),
      make((bytes) => bytes.writeUInt32LE(0xffffffff, 20)),
      make((bytes) => bytes.writeUInt32LE(0xffffffff, 24)),
      make((bytes) => {
        bytes.writeUInt32LE(1, 4);
        bytes.writeUInt32LE(0, 16);
      }),
      make(() => undefined, [1, 3, 2]),
      make(() => undefined, [1, 1]),
      make(() => undefined, [1, 2n ** 53n]),
      make(() => undefined, [1, 2n ** 64n - 1n]),
      // thin_check: the number is not divisible by 3.
      make((bytes) => bytes.writeUInt32LE(251, 20)),
    ];
    for (const [index, bytes] of wrong.entries())
      assert.throws(() => unpackTreeNode(5, bytes, 'node'), damaged, String(index));
    const child = Buffer.alloc(8, 0xff);
    const node = unpackTreeNode(
      5,
      packTreeNode(5, { isLeaf: false, valueSize: 8, entries: [{ key: 0, value: child }] }),
      'node',
    );
    assert.throws(() => node.child(0, 'node'), damaged);
  });

  it('takes 40 bits of data block and 24 of time apart, at their largest too', () => {
    const data = fc.integer({ min: 0, max: 2 ** 40 - 1 });
    const time = fc.integer({ min: 0, max: 2 ** 24 - 1 });
    const all = fc.property(data, time, (block, when) => {
      const bytes = packMappingValue({ data: block, time: when });
      const [low, high] = [bytes.readUInt32LE(0), bytes.readUInt32LE(4)];
      assert.deepEqual(unpackMappingValue(low, high), { data: block, time: when });
      assert.equal(dataBlockOf(low, high), block);
      assert.equal(bytes.readBigUInt64LE(), (BigInt(block) << 24n) | BigInt(when));
    });
    fc.assert(all, { examples: [[2 ** 40 - 1, 2 ** 24 - 1]] });
  });

  it('keeps details, space map roots, index entries and bitmaps', () => {
    fc.assert(
      fc.property(u64, u64, u32, u32, (mappedBlocks, transactionId, creationTime, snapTime) => {
        const details = { mappedBlocks, transactionId, creationTime, snapTime };
        assert.deepEqual(unpackDetails(packDetails(details)), details);
      }),
    );
    fc.assert(
      fc.property(count, count, u32, u32, (bitmap, allocated, free, noneFreeBefore) => {
        const root = { blocks: bitmap, allocated, bitmapRoot: 3, refCountRoot: 4 };
        assert.deepEqual(unpackSpaceMapRoot(packSpaceMapRoot(root), 'root'), root);
        const entry = { bitmap, free, noneFreeBefore };
        assert.deepEqual(unpackIndexEntry(packIndexEntry(entry), 'entry'), entry);
        assert.deepEqual(unpackMetadataIndex(9, packMetadataIndex(9, [entry, entry]), 2, 'index'), [
          entry,
          entry,
        ]);
      }),
    );
    const uses = fc.array(fc.constantFrom(0 as const, 1 as const, 2 as const, 'many' as const), {
      maxLength: BITMAP_ENTRIES,
      size: 'max',
    });
    fc.assert(
      fc.property(uses, (counts) => {
        const bitmap = new Bitmap(3, packBitmap(3, counts), counts.length, 'bitmap');
        assert.deepEqual(
          counts.map((_, index) => bitmap.at(index)),
          counts,
        );
        assert.equal(bitmap.length, counts.length);
        assert.equal(bitmap.used, counts.filter((count) => count !== 0).length);
      }),
      { numRuns: 20 },
    );
  });

  it('never fails on any block of bytes but by damage', () => {
    const block = fc.uint8Array({ minLength: METADATA_BLOCK, maxLength: METADATA_BLOCK, size: 'max' });
    const tame = (work: () => unknown): void => {
      try {
        work();
      } catch (error) {
        assert.match(
          String((error as { code?: unknown }).code),
          /^(damaged|invalid-argument|wrong-version|unsupported)$/,
        );
      }
    };
    fc.assert(
      fc.property(block, (array) => {
        const bytes = Buffer.from(array);
        for (const sealed of [false, true]) {
          const of = (kind: BlockKind): Buffer => (sealed ? sealBlock(kind, 1, Buffer.from(bytes)) : bytes);
          const superblock = of('superblock');
          if (sealed) {
            superblock.writeBigUInt64LE(27022010n, 32);
            superblock.writeUInt32LE(2, 40);
            superblock.writeUInt32LE(0, 360);
            sealBlock('superblock', 1, superblock);
          }
          tame(() => unpackSuperblock(1, superblock, 'x'));
          tame(() => new Bitmap(1, of('bitmap'), BITMAP_ENTRIES, 'x').used);
          tame(() => unpackMetadataIndex(1, of('index'), 255, 'x'));
          tame(() => {
            const node = unpackTreeNode(1, of('node'), 'x');
            for (let at = 0; at < node.count; at++) node.value(at);
          });
          for (const [capacity, valueSize] of [
            [252, 8],
            [126, 24],
            [4064, 0],
          ] as const) {
            const node = of('node');
            node.writeUInt32LE((node[4]! & 1) + 1, 4);
            node.writeUInt32LE(node[16]!, 16);
            node.writeUInt32LE(capacity, 20);
            node.writeUInt32LE(valueSize, 24);
            tame(() => unpackTreeNode(1, sealBlock('node', 1, node), 'x'));
          }
        }
        probeFilesystem(bytes);
        bytes.writeUInt32BE(0x58465342, 0);
        probeFilesystem(bytes);
        bytes.fill(0, 0, 4);
        bytes.writeUInt16LE(0xef53, 1080);
        probeFilesystem(bytes);
      }),
      { numRuns: 200 },
    );
  });
});
