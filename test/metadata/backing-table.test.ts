import assert from 'node:assert/strict';
import { chunkId } from '../../src/format/ids.js';
import { BackingTable } from '../../src/metadata/backing-table.js';

describe('the table of backings', () => {
  it('comes back from what it stores', () => {
    const table = new BackingTable();
    table.add(chunkId(5000), chunkId(7));
    table.setPages(chunkId(5000), 0b101);
    const { operations } = table.collect();
    const [operation] = operations;
    assert(operation?.type === 'put' && !table.isDirty);
    const again = new BackingTable();
    again.load(chunkId(5000), operation.value);
    assert.deepEqual([...again.all()], [{ chunk: 5000, backing: 7, pages: 0b101 }]);
    assert.equal(again.backingOf(chunkId(5001)), undefined);
  });

  it('gives a change again when its commit failed', () => {
    const table = new BackingTable();
    table.add(chunkId(1), chunkId(2));
    table.collect().undo();
    assert(table.isDirty);
    assert.equal(table.take(chunkId(1)), 2);
    assert.deepEqual(
      table.collect().operations.map(({ type }) => type),
      ['del'],
    );
  });

  it('tells of a damaged record when its chunk is needed, and can give it up', () => {
    const table = new BackingTable();
    table.load(chunkId(3), Uint8Array.of(1, 2, 3));
    assert.throws(() => table.backingOf(chunkId(3)), { code: 'damaged' });
    assert.deepEqual([...table.all()], [{ chunk: 3, backing: undefined, pages: 0 }]);
    assert.equal(table.take(chunkId(3)), undefined);
    assert.equal(table.backingOf(chunkId(3)), undefined);
  });
});
