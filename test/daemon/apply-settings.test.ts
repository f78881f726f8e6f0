import assert from 'node:assert/strict';
import { DEFAULT_POOL_OPTIONS } from '../../src/config/defaults.js';
import { parseStorageOptions } from '../../src/config/storage-options.js';
import { applySettings } from '../../src/daemon/apply-settings.js';
import { createPool } from '../../src/pool/create-pool.js';
import { openPool } from '../../src/pool/pool.js';
import type { ThinPool } from '../../src/pool/thin-pool.js';
import { MemoryStore } from '../support/memory-store.js';

describe('settings that start brings to a pool', () => {
  let pool: ThinPool;

  beforeEach(async () => {
    const store = new MemoryStore();
    await createPool(store, {
      path: '',
      blockSize: 65536,
      dataSize: 2 ** 30,
      metadataSize: 2 ** 26,
      options: { ...DEFAULT_POOL_OPTIONS, baseSize: 2 ** 30 },
    });
    pool = await openPool(store, { commitInterval: 0 });
  });
  afterEach(() => pool.close());

  const apply = (...options: string[]): Promise<void> => applySettings(pool, parseStorageOptions(options));

  it('keeps what may change', async () => {
    await apply('dm.min_free_space=3%', 'dm.mountopt=noatime', 'dm.basesize=2G');
    const { options, baseSize } = pool.info();
    assert.deepEqual([options.minFreeSpace, options.mountOptions, options.baseSize], [3, 'noatime', 2 ** 31]);
    assert.equal(baseSize, 2 ** 31);
  });

  it('takes what the pool has already', async () => {
    const before = pool.info();
    await apply('dm.blocksize=64K', 'dm.loopdatasize=1G', 'dm.fs=xfs', 'dm.basesize=1G');
    assert.deepEqual(pool.info(), before);
  });

  it('refuses what is fixed, before anything changes', async () => {
    const before = pool.info();
    for (const option of [
      'dm.blocksize=128K',
      'dm.loopdatasize=2G',
      'dm.fs=ext4',
      'dm.basesize=512M',
      'dm.datadev=/dev/sdb',
    ])
      await assert.rejects(apply('dm.min_free_space=3%', option), {
        code: 'invalid-argument',
        message: new RegExp(option.slice(0, option.indexOf('='))),
      });
    assert.deepEqual(pool.info(), before);
  });
});
