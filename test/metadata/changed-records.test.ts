import assert from 'node:assert/strict';
import { ChangedRecords, putOrDelete } from '../../src/metadata/changed-records.js';
import type { KvOperation } from '../../src/store/key-value.js';

const operation = (id: number): KvOperation => putOrDelete(Uint8Array.of(id), undefined);

describe('the records that a transaction has changed', () => {
  it('are collected once each, in the order in which they changed', () => {
    const changed = new ChangedRecords<number>();
    assert(changed.isEmpty);
    for (const id of [3, 1, 3]) changed.note(id);
    assert(!changed.isEmpty);
    assert.deepEqual(changed.collect(operation).operations, [operation(3), operation(1)]);
    assert(changed.isEmpty);
  });

  it('come back where their batch failed, beside those that changed meanwhile', () => {
    const changed = new ChangedRecords<number>();
    changed.note(1);
    const { undo } = changed.collect(operation);
    changed.note(2);
    undo();
    assert.deepEqual(changed.collect(operation).operations, [operation(2), operation(1)]);
  });

  it('may take several operations each', () => {
    const changed = new ChangedRecords<number>();
    changed.note(4);
    assert.equal(changed.collect((id) => [operation(id), operation(id + 1)]).operations.length, 2);
  });
});
