import assert from 'node:assert/strict';
import { parseVolumeOptions } from '../../src/volumes/volume-options.js';

describe('volume options', () => {
  it('are optional', () => {
    assert.deepEqual(parseVolumeOptions({}), {
      size: undefined,
      from: undefined,
      filesystem: undefined,
      quota: undefined,
    });
  });

  it('are read as everywhere else', () => {
    assert.deepEqual(parseVolumeOptions({ size: '20G', fs: 'ext4', quota: '5G' }), {
      size: 20 * 2 ** 30,
      from: undefined,
      filesystem: 'ext4',
      quota: 5 * 2 ** 30,
    });
    assert.equal(parseVolumeOptions({ from: 'db1' }).from, 'db1');
  });

  it('name what is wrong', () => {
    assert.throws(() => parseVolumeOptions({ sise: '1G' }), {
      code: 'unknown-option',
      message: /"sise".*mean size/,
    });
    assert.throws(() => parseVolumeOptions({ size: 'big' }), {
      code: 'invalid-argument',
      message: /size.*"big"/,
    });
    assert.throws(() => parseVolumeOptions({ fs: 'btrfs' }), { code: 'invalid-argument', message: /btrfs/ });
    assert.throws(() => parseVolumeOptions({ from: '' }), { code: 'invalid-argument', message: /from/ });
    assert.throws(() => parseVolumeOptions({ from: 'a', fs: 'xfs' }), {
      code: 'invalid-argument',
      message: /clone/,
    });
  });
});
