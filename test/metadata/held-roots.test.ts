import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { DeviceRecord } from '../../src/format/device-record.js';
import { describeKey } from '../../src/format/keys.js';
import {
  HELD_PER_PIECE,
  MAX_METADATA_SNAPSHOT,
  type MetadataSnapshot,
} from '../../src/format/metadata-snapshot.js';
import { nodeId } from '../../src/format/ids.js';
import type { Superblock } from '../../src/format/superblock.js';
import { HeldRoots } from '../../src/metadata/held-roots.js';
import { anyDevice, anySuperblock } from '../support/arbitrary-records.js';

const [SUPERBLOCK] = fc.sample(anySuperblock, 1) as [Superblock];
const RECORDS: readonly DeviceRecord[] = fc.sample(anyDevice, 3);

describe('the table of metadata snapshots', () => {
  const snapshot = (id: number, pieces?: MetadataSnapshot['pieces']): MetadataSnapshot => ({
    id,
    createdAt: 5,
    superblock: SUPERBLOCK,
    devices: 3,
    isWhole: true,
    pieces,
  });
  const written = (table: HeldRoots): string[] => {
    const collected = table.collect();
    collected.settle();
    return collected.operations.map(({ type, key }) => `${type} ${describeKey(key)}`);
  };

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
    assert.equal(table.begin(0, SUPERBLOCK), undefined);
  });

  it('is nobody’s before it is whole, and its pieces are of no other', () => {
    const table = new HeldRoots();
    table.load(snapshot(2, { first: 4, count: 1 }));
    assert.equal(table.begin(9, SUPERBLOCK), 3);
    table.add(RECORDS);
    assert.equal(table.get(3), undefined);
    assert.equal(table.owing, 0);
    assert.deepEqual(written(table), ['put held piece 5', 'put metadata snapshot 3']);
    table.add(RECORDS);
    table.finish();
    assert.equal(table.get(3)?.devices, 2 * RECORDS.length);
    assert.deepEqual(written(table), ['put held piece 6', 'put metadata snapshot 3']);
    assert(!table.isDirty);
  });

  it('is given back a piece at a time, and again when a commit failed', () => {
    const table = new HeldRoots();
    table.begin(9, SUPERBLOCK);
    table.add(RECORDS);
    table.add(RECORDS.slice(1));
    table.drop();
    written(table);
    assert.equal(table.owing, 1);
    const rest = RECORDS.map(({ root }) => root);
    assert.deepEqual(table.giveBack(), { id: 1, roots: rest.slice(1) });
    table.collect().undo();
    assert.deepEqual(written(table), ['del held piece 1', 'put metadata snapshot 1']);
    assert.deepEqual(table.giveBack(), { id: 1, roots: rest });
    assert.deepEqual(written(table), ['del held piece 0', 'del metadata snapshot 1']);
    assert.equal(table.owing, 0);
    assert.equal(table.giveBack(), undefined);
  });

  it('gives back one of version 1 in pieces at once', () => {
    const table = new HeldRoots();
    const roots = Array.from({ length: HELD_PER_PIECE + 1 }, (_, at) => nodeId(at));
    table.load(snapshot(3), roots);
    assert(!table.isDirty);
    assert.deepEqual(table.release(3), [roots.slice(0, HELD_PER_PIECE), roots.slice(HELD_PER_PIECE)]);
    table.collect().undo();
    assert.deepEqual(written(table), ['del metadata snapshot 3']);
    assert.equal(table.owing, 0);
  });
});
