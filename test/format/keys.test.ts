import assert from 'node:assert/strict';
import fc from 'fast-check';
import { chunkId, deviceId, MAX_CHUNKS, MAX_DEVICE_ID, nodeId } from '../../src/format/ids.js';
import {
  chunkBackingKey,
  chunkKey,
  chunkPatchKey,
  chunkMapKey,
  describeKey,
  deviceKey,
  heldPieceKey,
  metadataSnapshotKey,
  nodeKey,
  nodeMapKey,
  type NumberedKeyKind,
  optionsKey,
  pendingDeleteKey,
  rangeOf,
  remoteImageKey,
  remoteSheetKey,
  superblockKey,
  unpackKey,
} from '../../src/format/keys.js';
import { MAX_HELD_PIECE, MAX_METADATA_SNAPSHOT } from '../../src/format/metadata-snapshot.js';

const U32 = 2 ** 32 - 1;
const KINDS: Record<NumberedKeyKind, { pack: (n: number) => Uint8Array; max: number; tag: string }> = {
  node: { pack: (n) => nodeKey(nodeId(n)), max: U32, tag: 'n' },
  chunk: { pack: (n) => chunkKey(chunkId(n)), max: MAX_CHUNKS - 1, tag: 'c' },
  'chunk-backing': { pack: (n) => chunkBackingKey(chunkId(n)), max: MAX_CHUNKS - 1, tag: 'b' },
  'chunk-patch': { pack: (n) => chunkPatchKey(chunkId(n)), max: MAX_CHUNKS - 1, tag: 'e' },
  'chunk-map-sheet': { pack: chunkMapKey, max: U32, tag: 'm' },
  'node-map-sheet': { pack: nodeMapKey, max: U32, tag: 'p' },
  device: { pack: (n) => deviceKey(deviceId(n)), max: MAX_DEVICE_ID, tag: 'd' },
  'metadata-snapshot': { pack: metadataSnapshotKey, max: MAX_METADATA_SNAPSHOT, tag: 'h' },
  'held-piece': { pack: heldPieceKey, max: MAX_HELD_PIECE, tag: 'g' },
  'remote-sheet': { pack: remoteSheetKey, max: U32, tag: 'r' },
  'remote-image': { pack: remoteImageKey, max: U32, tag: 'i' },
  'pending-delete': { pack: (n) => pendingDeleteKey(deviceId(n)), max: MAX_DEVICE_ID, tag: 'x' },
};
const kinds = Object.keys(KINDS) as NumberedKeyKind[];
const inside = (key: Uint8Array, range: { gte: Uint8Array; lt: Uint8Array }): boolean =>
  Buffer.compare(range.gte, key) <= 0 && Buffer.compare(key, range.lt) < 0;

describe('keys', () => {
  for (const kind of kinds) {
    const { pack, max, tag } = KINDS[kind];
    const number = fc.integer({ min: 0, max });

    it(`packs ${kind} as its tag and a big-endian u32`, () => {
      assert.deepEqual([...pack(0x010203)], [tag.charCodeAt(0), 0, 1, 2, 3]);
    });

    it(`unpacks ${kind} from what was packed, wherever the bytes lie`, () => {
      fc.assert(
        fc.property(number, fc.nat(9), (n, before) => {
          const buffer = Buffer.concat([Buffer.alloc(before, 255), pack(n), Buffer.alloc(3, 255)]);
          assert.equal(unpackKey(kind, pack(n)), n);
          assert.equal(unpackKey(kind, buffer.subarray(before, before + 5)), n);
        }),
      );
      assert.equal(unpackKey(kind, pack(max)), max);
    });

    it(`sorts ${kind} keys as their numbers`, () => {
      fc.assert(
        fc.property(number, number, (a, b) => {
          assert.equal(Buffer.compare(pack(a), pack(b)), Math.sign(a - b));
        }),
      );
    });

    it(`has all of ${kind}, and nothing else, in its range`, () => {
      const range = rangeOf(kind);
      assert.ok(inside(pack(0), range) && inside(pack(max), range));
      for (const other of kinds.filter((candidate) => candidate !== kind)) {
        assert.ok(!inside(KINDS[other].pack(0), range), other);
        assert.ok(!inside(KINDS[other].pack(KINDS[other].max), range), other);
        assert.equal(unpackKey(other, pack(5)), undefined);
      }
      for (const single of [superblockKey, optionsKey]) assert.ok(!inside(single, range));
    });

    it(`describes ${kind} with its number`, () => {
      assert.equal(describeKey(pack(17)), `${kind.replaceAll('-', ' ')} 17`);
    });
  }

  it('describes the keys that there are one of', () => {
    assert.equal(describeKey(superblockKey), 'superblock');
    assert.equal(describeKey(optionsKey), 'options');
    assert.ok(inside(superblockKey, rangeOf('superblock')));
    assert.ok(inside(optionsKey, rangeOf('options')));
  });

  it('describes whatever bytes there are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 12 }), (key) => {
        assert.ok(describeKey(key).length > 3);
      }),
    );
    assert.equal(describeKey(Buffer.from('chunk')), 'chunk 1752526443');
    assert.equal(describeKey(Buffer.from('nodes')), `node 1868850547`);
    assert.equal(describeKey(Buffer.from('s!')), 'key 7321');
  });

  it('finds no number in a key that is cut off or too long', () => {
    fc.assert(
      fc.property(fc.constantFrom(...kinds), fc.nat(9), (kind, length) => {
        fc.pre(length !== 5);
        const key = new Uint8Array(length);
        key.set(KINDS[kind].pack(7).subarray(0, length));
        assert.equal(unpackKey(kind, key), undefined);
      }),
    );
  });
});
