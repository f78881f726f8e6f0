import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ThinError } from '../../src/errors/thin-error.js';
import { packDeviceRecord, unpackDeviceRecord } from '../../src/format/device-record.js';
import { deviceId, nodeId } from '../../src/format/ids.js';
import { packPendingDelete, unpackPendingDelete } from '../../src/format/pending-delete.js';
import { ENTRIES_PER_PAGE, packSpaceMapPage, unpackSpaceMapPage } from '../../src/format/space-map-page.js';
import { packSuperblock, unpackSuperblock } from '../../src/format/superblock.js';
import { anyDevice, anySuperblock, text, u32 } from '../support/arbitrary-records.js';

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
