import assert from 'node:assert/strict';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { ThinError } from '../../src/errors/thin-error.js';
import { chunkId, MAX_CHUNKS } from '../../src/format/ids.js';
import {
  FORMAT_VERSION,
  seal,
  SEAL_BYTES,
  sealChunk,
  unseal,
  unsealChunk,
  type SealKind,
} from '../../src/format/seal.js';

/** As docs/on-disk-format.md numbers them. */
const KINDS: Record<SealKind, number> = {
  superblock: 1,
  options: 2,
  node: 3,
  'chunk-map-sheet': 4,
  'node-map-sheet': 5,
  device: 6,
  'pending-delete': 7,
  chunk: 8,
  'data-label': 9,
  'metadata-snapshot': 10,
  'chunk-backing': 11,
  'chunk-patch': 12,
  commit: 13,
  'log-state': 15,
  'log-head': 16,
  'remote-sheet': 17,
  'remote-image': 18,
  'held-piece': 19,
};
const kind = fc.constantFrom(...(Object.keys(KINDS) as SealKind[]));
const id = fc.oneof(fc.nat(), fc.maxSafeNat(), fc.constant(2 ** 32));
const body = fc.uint8Array({ maxLength: 300 });

const damaged = (problem: RegExp) => (error: unknown) => {
  assert.ok(error instanceof ThinError);
  assert.equal(error.code, 'damaged');
  assert.match(error.message, problem);
  assert.match(error.message, /^here is damaged: .*thinfuse check/);
  return true;
};

/** A seal made by the page's words, not by the code: for versions and kinds that the code does not write. */
function sealedBy(fields: { kind: number; version: number; id: number }, content: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(SEAL_BYTES + content.length);
  bytes.writeUInt16LE(fields.kind, 4);
  bytes.writeUInt16LE(fields.version, 6);
  bytes.writeBigUInt64LE(BigInt(fields.id), 8);
  bytes.set(content, SEAL_BYTES);
  const salt = Number((BigInt(fields.kind) * 0x9e3779b1n) % 2n ** 32n);
  bytes.writeUInt32LE(crc32(bytes.subarray(4), salt), 0);
  return bytes;
}

describe('seal', () => {
  it('is what the format page says', () => {
    fc.assert(
      fc.property(kind, id, body, (of, number, content) => {
        const expected = sealedBy({ kind: KINDS[of], version: FORMAT_VERSION, id: number }, content);
        assert.deepEqual(Buffer.from(seal(of, number, content)), Buffer.from(expected));
      }),
    );
  });

  it('has not changed: a pool of today is read tomorrow', () => {
    assert.equal(
      Buffer.from(seal('node', 0x0102030405, Buffer.from('thin'))).toString('hex'),
      'f5ad74910300010005040302010000007468696e',
    );
  });

  it('gives back the body, wherever the bytes lie', () => {
    fc.assert(
      fc.property(kind, id, body, fc.nat(9), (of, number, content, before) => {
        const sealed = seal(of, number, content);
        const moved = Buffer.concat([Buffer.alloc(before, 255), sealed, Buffer.alloc(3, 255)]);
        const view = moved.subarray(before, before + sealed.length);
        assert.deepEqual(Buffer.from(unseal(of, number, view, 'here')), Buffer.from(content));
      }),
    );
  });

  it('gives a view and leaves the bytes as they were', () => {
    const sealed = seal('device', 3, Buffer.from('body'));
    const copy = sealed.slice();
    assert.equal(unseal('device', 3, sealed, 'here').buffer, sealed.buffer);
    assert.deepEqual(sealed, copy);
  });

  it('finds any wrong bit', () => {
    const sealed = seal('device', 77, Buffer.from('some body of some length'));
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      sealed[bit >>> 3]! ^= 1 << (bit & 7);
      assert.throws(() => unseal('device', 77, sealed, 'here'), damaged(/checksum/));
      sealed[bit >>> 3]! ^= 1 << (bit & 7);
    }
    unseal('device', 77, sealed, 'here');
  });

  it('finds a value that is cut off anywhere or too long', () => {
    const sealed = seal('device', 77, Buffer.from('some body'));
    for (let length = 0; length < sealed.length; length++)
      assert.throws(
        () => unseal('device', 77, sealed.subarray(0, length), 'here'),
        damaged(length < SEAL_BYTES ? /cut off at/ : /checksum/),
      );
    assert.throws(
      () => unseal('device', 77, Buffer.concat([sealed, Buffer.alloc(1)]), 'here'),
      damaged(/checksum/),
    );
  });

  it('finds a whole value under the wrong key: swapped, or of another kind', () => {
    fc.assert(
      fc.property(kind, kind, id, id, body, (of, other, number, another, content) => {
        const sealed = seal(of, number, content);
        if (number !== another)
          assert.throws(
            () => unseal(of, another, sealed, 'here'),
            damaged(new RegExp(`belongs to ${of} ${number}`)),
          );
        if (of !== other)
          assert.throws(
            () => unseal(other, number, sealed, 'here'),
            damaged(new RegExp(`kind ${KINDS[of]}, not a ${other}`)),
          );
      }),
    );
  });

  it('refuses a newer format as such, and reads an older one', () => {
    const content = Buffer.from('body');
    const newer = sealedBy({ kind: KINDS.node, version: FORMAT_VERSION + 1, id: 5 }, content);
    assert.throws(() => unseal('node', 5, newer, 'here'), {
      code: 'wrong-version',
      message: /^here .*newer thinfuse/,
    });
    const older = sealedBy({ kind: KINDS.node, version: 0, id: 5 }, content);
    assert.deepEqual(Buffer.from(unseal('node', 5, older, 'here')), content);
  });

  it('takes any bytes without another failure', () => {
    fc.assert(
      fc.property(kind, id, fc.uint8Array({ maxLength: 200 }), (of, number, bytes) => {
        assert.throws(() => unseal(of, number, bytes, 'here'), damaged(/./));
      }),
    );
  });
});

describe('chunk seal', () => {
  const SIZE = 512;
  const frameOf = (chunk: number, fill = 7): Uint8Array => {
    const frame = new Uint8Array(SIZE + SEAL_BYTES).fill(fill, 0, SIZE);
    sealChunk(frame, chunkId(chunk));
    return frame;
  };

  it('stands behind the data and leaves it alone', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: SIZE, maxLength: SIZE }),
        fc.nat(MAX_CHUNKS - 1),
        fc.nat(9),
        (data, chunk, before) => {
          const frame = new Uint8Array(before + SIZE + SEAL_BYTES + 3).subarray(
            before,
            before + SIZE + SEAL_BYTES,
          );
          frame.set(data);
          sealChunk(frame, chunkId(chunk));
          assert.deepEqual(frame.slice(0, SIZE), data);
          assert.deepEqual(new Uint8Array(unsealChunk(frame, chunkId(chunk), 'here')), data);
        },
      ),
    );
  });

  it('has the fields of any seal, with the checksum over the data first', () => {
    const frame = Buffer.from(frameOf(0x01020304));
    assert.equal(frame.readUInt16LE(SIZE + 4), KINDS.chunk);
    assert.equal(frame.readUInt16LE(SIZE + 6), FORMAT_VERSION);
    assert.equal(frame.readBigUInt64LE(SIZE + 8), 0x01020304n);
    const salt = (8 * 0x9e3779b1) % 2 ** 32;
    const covered = Buffer.concat([frame.subarray(0, SIZE), frame.subarray(SIZE + 4)]);
    assert.equal(frame.readUInt32LE(SIZE), crc32(covered, salt));
  });

  it('finds any wrong bit', () => {
    const frame = frameOf(9);
    for (let bit = 0; bit < frame.length * 8; bit++) {
      frame[bit >>> 3]! ^= 1 << (bit & 7);
      assert.throws(() => unsealChunk(frame, chunkId(9), 'here'), damaged(/checksum/));
      frame[bit >>> 3]! ^= 1 << (bit & 7);
    }
    unsealChunk(frame, chunkId(9), 'here');
  });

  it('finds zeroes, another length and another chunk', () => {
    const zeroes = new Uint8Array(SIZE + SEAL_BYTES);
    assert.throws(() => unsealChunk(zeroes, chunkId(0), 'here'), damaged(/checksum/));
    for (const length of [0, SEAL_BYTES - 1])
      assert.throws(() => unsealChunk(new Uint8Array(length), chunkId(0), 'here'), damaged(/cut off/));
    for (const length of [SIZE, SIZE + SEAL_BYTES - 1, SIZE + SEAL_BYTES + 1]) {
      const other = new Uint8Array(length);
      other.set(frameOf(0).subarray(0, length));
      assert.throws(() => unsealChunk(other, chunkId(0), 'here'), damaged(/checksum/));
    }
    assert.throws(() => unsealChunk(frameOf(4), chunkId(5), 'here'), damaged(/belongs to chunk 4/));
  });

  it('can be put on again after the data changed', () => {
    const frame = frameOf(4);
    frame[0] = 1;
    assert.throws(() => unsealChunk(frame, chunkId(4), 'here'), damaged(/checksum/));
    sealChunk(frame, chunkId(4));
    unsealChunk(frame, chunkId(4), 'here');
  });
});
