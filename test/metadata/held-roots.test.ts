import assert from 'node:assert/strict';
import { MAX_METADATA_SNAPSHOT, type MetadataSnapshot } from '../../src/format/metadata-snapshot.js';
import { HeldRoots } from '../../src/metadata/held-roots.js';

describe('the table of metadata snapshots', () => {
  const snapshot = (id: number): MetadataSnapshot =>
    ({ id, createdAt: 5, superblock: new Uint8Array(), devices: [] }) as unknown as MetadataSnapshot;

  it('numbers above all that are there, until numbers are used up', () => {
    const table = new HeldRoots();
    assert.equal(table.nextId(), 1);
    table.load(snapshot(7));
    table.load(snapshot(3));
    assert.deepEqual(
      table.all().map(({ id }) => id),
      [3, 7],
    );
    assert.equal(table.nextId(), 8);
    table.load(snapshot(MAX_METADATA_SNAPSHOT));
    assert.equal(table.nextId(), undefined);
  });

  it('collects removals, and again when their commit failed', () => {
    const table = new HeldRoots();
    table.load(snapshot(3));
    assert(!table.isDirty);
    table.remove(3);
    table.collect().undo();
    const { operations } = table.collect();
    assert.deepEqual(
      operations.map(({ type }) => type),
      ['del'],
    );
    assert(!table.isDirty);
  });
});
