import assert from 'node:assert/strict';
import { Compactor } from '../../src/pool/compactor.js';
import { COMPACT_FROM } from '../../src/pool/limits.js';
import type { KeyValue } from '../../src/store/key-value.js';

describe('a compactor', () => {
  const blockSize = 65536;
  const enough = COMPACT_FROM / blockSize;

  function compactor(kind: 'leveldb' | 'direct'): { readonly it: Compactor; runs: () => number } {
    let runs = 0;
    const store = {
      compact: () => {
        runs++;
        return Promise.resolve();
      },
    } as unknown as KeyValue;
    return { it: new Compactor(store, { kind, blockSize }), runs: () => runs };
  }

  it('runs when more chunks went than are left, and many did', async () => {
    const { it: compacts, runs } = compactor('leveldb');
    compacts.note(enough - 1, 0);
    assert.equal(runs(), 0);
    compacts.note(1, enough + 1);
    assert.equal(runs(), 0);
    compacts.note(1, enough + 1);
    assert.equal(runs(), 1);
    await compacts.idle();
    compacts.note(1, 0);
    assert.equal(runs(), 1);
  });

  it('leaves the store of a direct pool alone', () => {
    const { it: compacts, runs } = compactor('direct');
    compacts.note(10 * enough, 0);
    assert.equal(runs(), 0);
  });
});
