import assert from 'node:assert/strict';
import { DEFAULT_POOL_OPTIONS } from '../../src/config/defaults.js';
import type { Superblock } from '../../src/format/superblock.js';
import { needsPackedFlag, withPackedFlag } from '../../src/pool/packed-flag.js';

describe('the flag of packed chunks', () => {
  const superblock = (kind: Superblock['kind'], hasPacked?: boolean): Superblock =>
    ({ kind, ...(hasPacked === undefined ? {} : { hasPacked }) }) as Superblock;
  const packing = { ...DEFAULT_POOL_OPTIONS, compression: 'lz4' } as const;
  const off = { ...DEFAULT_POOL_OPTIONS, compression: 'off' } as const;

  it('is set before the first value is packed, in leveldb pools alone', () => {
    assert(needsPackedFlag(superblock('leveldb'), packing));
    assert(!needsPackedFlag(superblock('direct'), packing));
    assert(!needsPackedFlag(superblock('leveldb'), off));
    assert.equal(withPackedFlag(superblock('leveldb'), packing).hasPacked, true);
  });

  it('stays when packing is switched off', () => {
    const set = superblock('leveldb', true);
    assert.equal(withPackedFlag(set, off), set);
    assert(!needsPackedFlag(set, packing));
  });
});
