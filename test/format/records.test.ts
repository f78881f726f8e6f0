import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ThinError } from '../../src/errors/thin-error.js';
import {
  packDeviceRecord,
  sealDeviceRecord,
  unpackDeviceRecord,
  type DeviceRecord,
} from '../../src/format/device-record.js';
import { packChunkBacking, unpackChunkBacking } from '../../src/format/chunk-backing.js';
import { applyChunkPatch, packChunkPatch } from '../../src/format/chunk-patch.js';
import { chunkId, deviceId, MAX_CHUNKS, nodeId } from '../../src/format/ids.js';
import { packPendingDelete, unpackPendingDelete } from '../../src/format/pending-delete.js';
import {
  ENTRIES_PER_SHEET,
  packSpaceMapSheet,
  unpackSpaceMapSheet,
} from '../../src/format/space-map-sheet.js';
import { sealVersion } from '../../src/format/seal.js';
import { packSuperblock, unpackSuperblock } from '../../src/format/superblock.js';
import { anyDevice, anySuperblock, text, u32 } from '../support/arbitrary-records.js';

const PAGE = 512;

/** Any bytes are read, or refused as damaged by their path; nothing else comes out. */
function onlyDamage(read: () => unknown): void {
  try {
    read();
  } catch (error) {
    assert.ok(error instanceof ThinError, String(error));
    assert.equal(error.code, 'damaged');
    assert.ok(error.message.startsWith('here'), error.message);
  }
}

/** Bytes at random, and good ones with one byte changed or the end cut off. */
function fuzz(good: fc.Arbitrary<Uint8Array>, read: (bytes: Uint8Array) => unknown): void {
  const hurt = fc
    .tuple(good, fc.nat(), fc.nat(255), fc.boolean())
    .map(([bytes, at, byte, cut]) =>
      cut ? bytes.slice(0, at % (bytes.length + 1)) : bytes.with(at % bytes.length, byte),
    );
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 700 }), hurt), (bytes) => {
      onlyDamage(() => read(bytes));
    }),
  );
}

describe('stored records', () => {
  it('device records come back as they went, and nothing else passes for one', () => {
    fc.assert(
      fc.property(anyDevice, (record) => {
        assert.deepEqual(unpackDeviceRecord(record.id, packDeviceRecord(record), 'here'), record);
      }),
    );
    fuzz(anyDevice.map(packDeviceRecord), (bytes) => unpackDeviceRecord(deviceId(1), bytes, 'here'));
  });

  it('a device record with a field that older programs do not know is one that they refuse', () => {
    const [sample] = fc.sample(anyDevice, 1);
    const plain: DeviceRecord = {
      ...sample!,
      ...{ limit: 0, content: 'rootfs', automount: undefined, labels: {} },
    };
    const versionOf = (more: Partial<DeviceRecord>): number =>
      sealVersion(sealDeviceRecord({ ...plain, ...more }), 0);
    assert.equal(versionOf({}), 1);
    const automount = { target: '', readOnly: false, options: '', allowOther: false };
    const newer = [
      { limit: 1 },
      { content: 'plain' },
      { content: 'raw' },
      { automount },
      { labels: { a: '' } },
    ];
    for (const more of newer as readonly Partial<DeviceRecord>[]) assert.equal(versionOf(more), 2);
  });

  it('backings of partial chunks do', () => {
    const backing = fc.record(
      { backing: fc.nat(MAX_CHUNKS - 1).map(chunkId), pages: fc.integer() },
      { noNullPrototype: true },
    );
    fc.assert(
      fc.property(backing, (one) => {
        assert.deepEqual(unpackChunkBacking(packChunkBacking(one), 'here'), one);
      }),
    );
    fuzz(backing.map(packChunkBacking), (bytes) => unpackChunkBacking(bytes, 'here'));
  });

  it('patches of chunks do, and touch no other page', () => {
    const shape = fc
      .tuple(
        fc.integer({ min: 1, max: 32 }),
        fc.integer().filter((mask) => mask !== 0),
      )
      .map(([pages, mask]) => {
        const known = pages === 32 ? -1 : (1 << pages) - 1;
        return { pages, mask: (mask & known) === 0 ? 1 : mask & known };
      });
    fc.assert(
      fc.property(shape, ({ pages, mask }) => {
        const data = new Uint8Array(pages * PAGE).map((_, at) => 1 + (at % 255));
        const onto = new Uint8Array(pages * PAGE);
        assert.equal(applyChunkPatch(packChunkPatch(mask, data, PAGE), onto, PAGE, 'here'), mask);
        const expected = data.map((byte, at) => (((mask >>> Math.floor(at / PAGE)) & 1) === 1 ? byte : 0));
        assert.deepEqual(onto, expected);
      }),
    );
    const good = shape.map(({ mask }) => packChunkPatch(mask, new Uint8Array(32 * PAGE), PAGE));
    fuzz(good, (bytes) => applyChunkPatch(bytes, new Uint8Array(16 * PAGE), PAGE, 'here'));
  });

  it('superblocks do', () => {
    fc.assert(
      fc.property(anySuperblock, (one) => {
        assert.deepEqual(unpackSuperblock(packSuperblock(one), 'here'), one);
        const counted = { ...one, totals: { devices: 1, chunks: 2, nodes: one.nodes } };
        assert.deepEqual(unpackSuperblock(packSuperblock(counted), 'here'), counted);
      }),
    );
    fuzz(anySuperblock.map(packSuperblock), (bytes) => unpackSuperblock(bytes, 'here'));
  });

  it('pending deletes do', () => {
    const pending = fc.record(
      {
        id: u32.map(deviceId),
        name: text,
        stack: fc.array(u32.map(nodeId), { maxLength: 700, size: 'max' }),
      },
      { noNullPrototype: true },
    );
    fc.assert(
      fc.property(pending, (one) => {
        assert.deepEqual(unpackPendingDelete(one.id, packPendingDelete(one), 'here'), one);
      }),
    );
    fuzz(pending.map(packPendingDelete), (bytes) => unpackPendingDelete(deviceId(1), bytes, 'here'));
  });

  it('sheets of a space map do', () => {
    const counts = fc
      .array(
        fc.tuple(
          fc.nat(ENTRIES_PER_SHEET - 1),
          fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 2 ** 32 - 1 })),
        ),
      )
      .map((entries) => new Map(entries.sort(([a], [b]) => a - b)));
    const pack = (entries: ReadonlyMap<number, number>) =>
      packSpaceMapSheet((index) => entries.get(index) ?? 0);
    fc.assert(
      fc.property(counts, (entries) => {
        const found = new Map<number, number>();
        unpackSpaceMapSheet(pack(entries), 'here', (index, count) => found.set(index, count));
        assert.deepEqual(found, entries);
      }),
    );
    fuzz(counts.map(pack), (bytes) => {
      unpackSpaceMapSheet(bytes, 'here', () => undefined);
    });
  });
});
