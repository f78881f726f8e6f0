import assert from 'node:assert/strict';
import { DEFAULT_POOL_OPTIONS } from '../../src/config/defaults.js';
import {
  mergePoolOptions,
  parseStorageOptions,
  STORAGE_OPTION_KEYS,
  type StorageOptions,
} from '../../src/config/storage-options.js';

const GIB = 1024 ** 3;
const NOTHING: StorageOptions = { pool: {}, warnings: [] };

describe('config: storage options', () => {
  const effective: [string, Partial<StorageOptions>][] = [
    ['dm.basesize=20G', { pool: { baseSize: 20 * GIB } }],
    ['dm.blocksize=512K', { blockSize: 512 * 1024 }],
    ['dm.blocksize=65536', { blockSize: 65536 }],
    ['dm.blocksize=1G', { blockSize: GIB }],
    ['dm.loopdatasize=200G', { dataSize: 200 * GIB }],
    ['dm.loopmetadatasize=4GB', { metadataSize: 4 * GIB }],
    ['dm.datadev=/dev/sdb1', { dataPath: '/dev/sdb1' }],
    ['dm.fs=ext4', { pool: { filesystem: 'ext4' } }],
    ['dm.mkfsarg=-O ^has_journal', { pool: { mkfsArgs: ['-O', '^has_journal'] } }],
    ['dm.mountopt=nodiscard', { pool: { mountOptions: 'nodiscard' } }],
    ['dm.min_free_space=0%', { pool: { minFreeSpace: 0 } }],
    ['dm.min_free_space=99%', { pool: { minFreeSpace: 99 } }],
    ['dm.use_deferred_removal=true', { pool: { deferredRemoval: true } }],
    ['dm.use_deferred_deletion=F', { pool: { deferredDeletion: false } }],
    ['dm.thinp_autoextend_threshold=90', { pool: { autoextendThreshold: 90 } }],
    ['dm.thinp_autoextend_percent=50%', { pool: { autoextendPercent: 50 } }],
    ['dm.queue_if_no_space=true', { pool: { errorIfNoSpace: false } }],
    ['dm.no_space_timeout=5', { pool: { noSpaceTimeout: 5 } }],
    ['dm.origin_timeout=5', { pool: { originTimeout: 5 } }],
    ['dm.low_water_mark=1G', { pool: { lowWater: GIB } }],
    ['dm.metadata_low_water_mark=auto', { pool: { metadataLowWater: 0 } }],
    ['dm.directlvm_device=/dev/xvdf', { directLvm: { path: '/dev/xvdf' } }],
    ['dm.directlvm_device_force=true', { directLvm: { force: true } }],
    ['dm.xfs_nospace_max_retries=7', { pool: { xfsNospaceMaxRetries: 7 } }],
    ['  DM.BaseSize = 20G ', { pool: { baseSize: 20 * GIB } }],
    ['dm.mountopt=a=b', { pool: { mountOptions: 'a=b' } }],
  ];
  for (const [option, expected] of effective)
    it(`takes ${option}`, () => assert.deepEqual(parseStorageOptions([option]), { ...NOTHING, ...expected }));

  const ignored = [
    'dm.metadatadev=/dev/sdc1',
    'dm.thinpooldev=/dev/mapper/docker-thinpool',
    'dm.thinp_percent=95',
    'dm.thinp_metapercent=1%',
    'dm.blkdiscard=false',
    'dm.override_udev_sync_check=1',
    'dm.libdm_log_level=2',
  ];
  for (const option of ignored)
    it(`takes ${option} with a warning`, () => {
      const { warnings, kernelPool, ...rest } = parseStorageOptions([option]);
      assert.deepEqual(
        kernelPool,
        /(metadata|thinpool)dev/.test(option) ? [option.split('=')[0]] : undefined,
      );
      assert.deepEqual(rest, { pool: {} });
      assert.equal(warnings.length, 1);
      assert.ok(warnings[0]!.startsWith(`${option.split('=')[0]!} has no effect: `), warnings[0]);
    });

  for (const option of ['dm.mountopt=ro', 'dm.mountopt=noatime,ro', 'dm.mountopt=norecovery'])
    it(`refuses ${option} at once`, () => {
      assert.throws(
        () => parseStorageOptions([option]),
        /dm\.mountopt.*is decided for each \(thinfuse mount --ro\)/,
      );
    });

  it('is tested on every key', () => {
    const tested = [...effective.map(([option]) => option), ...ignored].map((option) =>
      option.split('=')[0]!.trim().toLowerCase().slice('dm.'.length),
    );
    assert.deepEqual(new Set(tested), new Set(STORAGE_OPTION_KEYS));
  });

  it('adds up what repeats as Docker did', () => {
    const parsed = parseStorageOptions([
      'dm.basesize=20G',
      'dm.mkfsarg=-m crc=0',
      'dm.mountopt=nodiscard',
      'dm.blkdiscard=true',
      'dm.mkfsarg=-i size=512',
      'dm.mountopt=noatime,nodiratime',
      'dm.basesize=30G',
      'dm.libdm_log_level=5',
    ]);
    assert.deepEqual(parsed.pool, {
      baseSize: 30 * GIB,
      mkfsArgs: ['-m', 'crc=0', '-i', 'size=512'],
      mountOptions: 'nodiscard,noatime,nodiratime',
    });
    assert.equal(parsed.warnings.length, 2);
  });

  const wrong = [
    'dm.basesize=big',
    'dm.basesize=0',
    'dm.basesize=1000',
    'dm.basesize=',
    'dm.blocksize=32K',
    'dm.blocksize=2G',
    'dm.blocksize=96K',
    'dm.loopdatasize=-1',
    'dm.fs=btrfs',
    'dm.datadev=',
    'dm.min_free_space=10',
    'dm.min_free_space=100%',
    'dm.min_free_space=-1%',
    'dm.min_free_space=%',
    'dm.use_deferred_removal=yes',
    'dm.xfs_nospace_max_retries=-1',
    'dm.xfs_nospace_max_retries=2147483648',
    'dm.thinp_percent=100',
    'dm.thinp_autoextend_percent=101',
    'dm.thinp_autoextend_threshold=49',
    'dm.no_space_timeout=-1',
    'dm.origin_timeout=0',
    'dm.libdm_log_level=8',
    'dm.libdm_log_level=1',
    'dm.blkdiscard=',
  ];
  for (const option of wrong)
    it(`refuses ${option}`, () =>
      assert.throws(
        () => parseStorageOptions([option]),
        (error: Error) =>
          'code' in error &&
          error.code === 'invalid-argument' &&
          error.message.includes(option.split('=')[0]!),
      ));

  it('refuses an unknown key in Docker’s words, with the nearest one', () => {
    for (const [option, expected] of [
      ['dm.basesise=20G', /^devmapper: Unknown option dm\.basesise; did you mean dm\.basesize\?$/],
      ['basesize=20G', /^devmapper: Unknown option basesize; did you mean dm\.basesize\?$/],
      ['dm.min-free-space=10%', /Unknown option dm\.min-free-space; did you mean dm\.min_free_space\?/],
      ['dm.constructor=1', /Unknown option dm\.constructor; known are dm\.basesize, /],
      ['dm.=1', /Unknown option dm\.;/],
      ['=1', /Unknown option ;/],
      ['overlay2.size=1', /Unknown option overlay2\.size; known are dm\.basesize, /],
    ] as const)
      assert.throws(() => parseStorageOptions([option]), { code: 'unknown-option', message: expected });
  });

  it('refuses what is no option at all', () => {
    for (const text of ['', 'dm.basesize', 'dm.fs xfs'])
      assert.throws(() => parseStorageOptions([text]), {
        code: 'invalid-argument',
        message: /dm\.KEY=VALUE/,
      });
  });

  it('lays a change over what is stored', () => {
    assert.deepEqual(mergePoolOptions({}), DEFAULT_POOL_OPTIONS);
    const stored = mergePoolOptions({ filesystem: 'ext4', deferredRemoval: true });
    const merged = mergePoolOptions({ deferredDeletion: true }, stored);
    assert.deepEqual(
      [merged.filesystem, merged.deferredRemoval, merged.deferredDeletion],
      ['ext4', true, true],
    );
  });

  it('needs deferred removal for deferred deletion, as Docker did', () => {
    assert.throws(() => mergePoolOptions({ deferredDeletion: true, deferredRemoval: false }), {
      code: 'invalid-argument',
      message: /dm\.use_deferred_removal=true/,
    });
  });
});
