import assert from 'node:assert/strict';
import { dataSyncMemory, DataSyncs } from '../../src/store/data-syncs.js';

describe('how far the data of a direct pool is on its disk', () => {
  it('begins with something that is not: an earlier process may have written it', () => {
    const syncs = new DataSyncs(dataSyncMemory());
    assert(syncs.synced < syncs.written);
  });

  it('counts the writes of all threads', () => {
    const memory = dataSyncMemory();
    const [one, other] = [new DataSyncs(memory), new DataSyncs(memory)];
    const before = one.written;
    one.noteWritten();
    other.noteWritten();
    assert.equal(one.written - before, 2);
    assert.equal(other.written, one.written);
  });

  it('leaves what was written during a sync to the next', () => {
    const syncs = new DataSyncs(dataSyncMemory());
    const { written } = syncs;
    syncs.noteWritten();
    syncs.noteSynced(written);
    assert(syncs.synced < syncs.written);
    syncs.noteSynced(syncs.written);
    assert.equal(syncs.synced, syncs.written);
  });

  it('never takes back what was noted as synced', () => {
    const syncs = new DataSyncs(dataSyncMemory());
    for (let i = 0; i < 5; i++) syncs.noteWritten();
    syncs.noteSynced(5);
    syncs.noteSynced(3);
    assert.equal(syncs.synced, 5);
  });
});
