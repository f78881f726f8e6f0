import assert from 'node:assert/strict';
import { DEFAULT_POOL_OPTIONS } from '../../src/config/defaults.js';
import {
  liveSettings,
  liveValues,
  parseLiveSettings,
  requireLiveKey,
} from '../../src/config/live-settings.js';

describe('live settings', () => {
  it('are shown as they are given', () => {
    const shown = liveSettings(DEFAULT_POOL_OPTIONS);
    const given = Object.entries(shown).map(([key, value]) => `${key}=${value}`);
    assert.deepEqual({ ...DEFAULT_POOL_OPTIONS, ...parseLiveSettings(given) }, DEFAULT_POOL_OPTIONS);
    assert.deepEqual(parseLiveSettings(['DM.Min_Free_Space=5%', 'queue_if_no_space=true']), {
      minFreeSpace: 5,
      errorIfNoSpace: false,
    });
    assert.deepEqual(parseLiveSettings(['compression=lz4', 'dm.compression=zstd', 'no_space_timeout=3']), {
      compression: 'zstd',
      noSpaceTimeout: 3,
    });
    assert.deepEqual(parseLiveSettings(['cache-size=1G']), { cacheSize: 2 ** 30 });
    assert.equal(liveSettings({ cacheSize: 2 ** 30 })['cache_size'], '1G');
  });

  it('are numbers, booleans and bytes for scripts', () => {
    const values = liveValues({ ...DEFAULT_POOL_OPTIONS, lowWater: 65536, cacheSize: 0 });
    const { min_free_space: free, queue_if_no_space: queue, low_water_mark: low, cache_size: cache } = values;
    assert.deepEqual([free, queue, low, cache], [10, false, 65536, null]);
  });

  it('are no others, and nothing that cannot be', () => {
    assert.throws(() => parseLiveSettings(['fs=ext4']), { code: 'invalid-argument' });
    assert.throws(() => parseLiveSettings(['basesize=20G']), { code: 'invalid-argument' });
    assert.throws(() => parseLiveSettings(['compression=gzip']), { code: 'invalid-argument' });
    assert.throws(() => parseLiveSettings(['cache_size=5G']), { code: 'invalid-argument' });
    assert.throws(() => parseLiveSettings(['min_fre_space=5%']), /did you mean min_free_space/);
    assert.throws(() => parseLiveSettings(['min_free_space=100%']), { code: 'invalid-argument' });
    assert.throws(() => parseLiveSettings(['min_free_space']), { code: 'invalid-argument' });
    assert.throws(() => requireLiveKey('fs'), { code: 'invalid-argument' });
    assert.equal(requireLiveKey('dm.min_free_space'), 'min_free_space');
  });
});
