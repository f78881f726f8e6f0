import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ThinError } from '../../src/errors/thin-error.js';
import {
  DEVICE_KINDS,
  FILESYSTEMS,
  packDeviceRecord,
  unpackDeviceRecord,
  type DeviceRecord,
} from '../../src/format/device-record.js';
import {
  deviceId,
  MAX_CHUNKS,
  nodeId,
  snapTime,
  transactionId,
  type DeviceName,
} from '../../src/format/ids.js';
import { packPendingDelete, unpackPendingDelete } from '../../src/format/pending-delete.js';
import { ENTRIES_PER_PAGE, packSpaceMapPage, unpackSpaceMapPage } from '../../src/format/space-map-page.js';
import { packSuperblock, unpackSuperblock, type Superblock } from '../../src/format/superblock.js';

const u32 = fc.nat(2 ** 32 - 1);
const u64 = fc.maxSafeNat();
const text = fc.string({ unit: 'grapheme', maxLength: 40 });

const device: fc.Arbitrary<DeviceRecord> = fc.record(
  {
    id: u32.map(deviceId),
    name: text.map((name) => name as DeviceName),
    kind: fc.constantFrom(...DEVICE_KINDS),
    origin: u32.map(deviceId),
    originName: text,
    size: u64,
    root: u32.map(nodeId),
    mapped: u64,
    transactionId: u64.map(transactionId),
    creationTime: u32.map(snapTime),
    snapTime: u32.map(snapTime),
    createdAt: u64,
    filesystem: fc.constantFrom(...FILESYSTEMS),
    filesystemSize: u64,
    initialized: fc.boolean(),
    deleted: fc.boolean(),
    family: u32.map(deviceId),
    exclusive: u64,
    label: fc.oneof(
      text,
      fc.integer({ min: 100, max: 9000 }).map((length) => 'ä'.repeat(length)),
    ),
  },
  { noNullPrototype: true },
);

const superblock: fc.Arbitrary<Superblock> = fc.record(
  {
    uuid: text,
    kind: fc.constantFrom('leveldb' as const, 'direct' as const),
    blockSize: fc.integer({ min: 1, max: 2 ** 22 }).map((sectors) => sectors * 512),
    chunks: fc.nat(MAX_CHUNKS),
    nodes: u32,
    time: u32.map(snapTime),
    transactionId: u64.map(transactionId),
    lastDeviceId: u32.map(deviceId),
    needsCheck: fc.boolean(),
    baseUuid: text,
    lastTransaction: fc.option(
      fc.record(
        { id: fc.integer({ min: 1 }).map(transactionId), device: u32.map(deviceId), name: text },
        { noNullPrototype: true },
      ),
      { nil: undefined },
    ),
  },
  { noNullPrototype: true },
);

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
      fc.property(device, (record) => {
        assert.deepEqual(unpackDeviceRecord(record.id, packDeviceRecord(record), 'here'), record);
      }),
    );
    fuzz(device.map(packDeviceRecord), (bytes) => unpackDeviceRecord(deviceId(1), bytes, 'here'));
  });

  it('superblocks do', () => {
    fc.assert(
      fc.property(superblock, (one) => {
        assert.deepEqual(unpackSuperblock(packSuperblock(one), 'here'), one);
        const counted = { ...one, totals: { devices: 1, chunks: 2, nodes: one.nodes } };
        assert.deepEqual(unpackSuperblock(packSuperblock(counted), 'here'), counted);
      }),
    );
    fuzz(superblock.map(packSuperblock), (bytes) => unpackSuperblock(bytes, 'here'));
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

  it('pages of a space map do', () => {
    const counts = fc
      .array(
        fc.tuple(
          fc.nat(ENTRIES_PER_PAGE - 1),
          fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 2 ** 32 - 1 })),
        ),
      )
      .map((entries) => new Map(entries.sort(([a], [b]) => a - b)));
    const pack = (entries: ReadonlyMap<number, number>) =>
      packSpaceMapPage((index) => entries.get(index) ?? 0);
    fc.assert(
      fc.property(counts, (entries) => {
        const found = new Map<number, number>();
        unpackSpaceMapPage(pack(entries), 'here', (index, count) => found.set(index, count));
        assert.deepEqual(found, entries);
      }),
    );
    fuzz(counts.map(pack), (bytes) => {
      unpackSpaceMapPage(bytes, 'here', () => undefined);
    });
  });
});
