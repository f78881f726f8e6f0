import { ThinError } from '../errors/thin-error.js';
import { DEFAULT_POOL_OPTIONS } from './defaults.js';
import { parseBlockSize, parseDeviceSize } from './limits.js';
import { nearest } from './nearest.js';
import type { PoolOptions } from './pool-options.js';
import { parseSize } from './sizes.js';

/** What `dm.KEY=VALUE` options ask for; only what was given is there. Sizes in bytes. */
export interface StorageOptions {
  readonly blockSize?: number;
  readonly dataSize?: number;
  readonly metadataSize?: number;
  /** `dm.datadev`: the data path of a `direct` pool. */
  readonly dataPath?: string;
  /** `dm.directlvm_device`: the disk that Docker would have made a pool of; what `init` makes one of. */
  readonly directLvm?: { readonly path?: string; readonly force?: boolean };
  /** Keys that named a device of the kernel's pool: a pool of ours needs to be told its own. */
  readonly kernelPool?: readonly string[];
  /** Settings that may change from start to start. */
  readonly pool: Partial<PoolOptions>;
  /** One sentence for every option that has no effect here. */
  readonly warnings: readonly string[];
}

/**
 * Reads one option into what was gathered from those before it; repeated ones replace or add as Docker's did.
 */
type Reader = (value: string, key: string, before: StorageOptions) => Partial<StorageOptions>;

/** With these, no device could be mounted for writing, the first mount of all included. */
const OWN_MOUNT_OPTIONS = new Set(['ro', 'norecovery', 'noload', 'remount', 'bind', 'rbind', 'move', 'loop']);

const READERS: Readonly<Record<string, Reader>> = {
  basesize: (value, key, { pool }) => ({ pool: { ...pool, baseSize: parseDeviceSize(value, key) } }),
  blocksize: (value, key) => ({ blockSize: parseBlockSize(value, key) }),
  loopdatasize: (value, key) => ({ dataSize: parseDeviceSize(value, key) }),
  loopmetadatasize: (value, key) => ({ metadataSize: parseDeviceSize(value, key) }),
  datadev: (value, key) => ({ dataPath: nonEmpty(value, key, 'a block device or a file') }),
  fs: (value, key, { pool }) => ({ pool: { ...pool, filesystem: parseFilesystem(value, key) } }),
  mkfsarg: (value, _key, { pool }) => ({
    pool: {
      ...pool,
      mkfsArgs: [...(pool.mkfsArgs ?? []), ...value.split(/\s+/).filter((word) => word !== '')],
    },
  }),
  mountopt: (value, key, { pool }) => {
    const refused = value.split(',').find((word) => OWN_MOUNT_OPTIONS.has(word.trim()));
    if (refused !== undefined)
      throw invalid(
        key,
        value,
        `options for all mounts, and ${refused} is decided for each (thinfuse mount --ro)`,
      );
    const mountOptions = [pool.mountOptions ?? '', value].filter((part) => part !== '').join(',');
    return { pool: { ...pool, mountOptions } };
  },
  min_free_space: (value, key, { pool }) => {
    if (!value.endsWith('%')) throw invalid(key, value, 'a percentage with its sign, such as 10%');
    return { pool: { ...pool, minFreeSpace: parsePercent(value, key, 99) } };
  },
  use_deferred_removal: (value, key, { pool }) => ({
    pool: { ...pool, deferredRemoval: parseBoolean(value, key) },
  }),
  use_deferred_deletion: (value, key, { pool }) => ({
    pool: { ...pool, deferredDeletion: parseBoolean(value, key) },
  }),
  xfs_nospace_max_retries: (value, key, { pool }) => ({
    pool: { ...pool, xfsNospaceMaxRetries: parseCount(value, key, 0, MAX_RETRIES) },
  }),
  thinp_autoextend_threshold: (value, key, { pool }) => ({
    pool: { ...pool, autoextendThreshold: parsePercent(value, key, 100, 50) },
  }),
  thinp_autoextend_percent: (value, key, { pool }) => ({
    pool: { ...pool, autoextendPercent: parsePercent(value, key, 100, 1) },
  }),
  queue_if_no_space: (value, key, { pool }) => ({
    pool: { ...pool, errorIfNoSpace: !parseBoolean(value, key) },
  }),
  no_space_timeout: (value, key, { pool }) => ({
    pool: { ...pool, noSpaceTimeout: parseCount(value, key, 0, MAX_TIMEOUT) },
  }),
  low_water_mark: (value, key, { pool }) => ({ pool: { ...pool, lowWater: parseMark(value, key) } }),
  metadata_low_water_mark: (value, key, { pool }) => ({
    pool: { ...pool, metadataLowWater: parseMark(value, key) },
  }),
  origin_timeout: (value, key, { pool }) => ({
    pool: { ...pool, originTimeout: parseCount(value, key, 1, MAX_ORIGIN_TIMEOUT) },
  }),
  metadatadev: ofKernelPool(
    'a block device',
    'metadata is in the LevelDB folder of the root; put the root itself on a fast disk, or give init --metadata-dir',
  ),
  thinpooldev: ofKernelPool(
    'a device',
    "there is no kernel thin pool to use; the pool's data is where init --data said",
  ),
  directlvm_device: (value, key, { directLvm }) => ({
    directLvm: { ...directLvm, path: nonEmpty(value, key, 'a block device') },
  }),
  directlvm_device_force: (value, key, { directLvm }) => ({
    directLvm: { ...directLvm, force: parseBoolean(value, key) },
  }),
  thinp_percent: withoutEffect((value, key) => parsePercent(value, key, 99), 'no volume group is made'),
  thinp_metapercent: withoutEffect((value, key) => parsePercent(value, key, 99), 'no volume group is made'),
  blkdiscard: withoutEffect(parseBoolean, "a removed device's space always goes back"),
  override_udev_sync_check: withoutEffect(parseBoolean, 'devices appear without udev'),
  libdm_log_level: withoutEffect(
    (value, key) => parseCount(value, key, 2, 7),
    'libdm is not used; the daemon writes its own log',
  ),
};

const PREFIX = 'dm.';
/** The kernel holds it as an `int`. */
const MAX_RETRIES = 2 ** 31 - 1;
/** Seconds (dm-thin.c, `NO_SPACE_TIMEOUT_SECS` is 60): a day. */
const MAX_TIMEOUT = 86_400;
/** Seconds. */
const MAX_ORIGIN_TIMEOUT = 3600;
/** As Go's strconv.ParseBool, which is what Docker read them with. */
const TRUE = new Set(['1', 't', 'T', 'TRUE', 'true', 'True']);
const FALSE = new Set(['0', 'f', 'F', 'FALSE', 'false', 'False']);

/** Every key that is known, without its `dm.`. */
export const STORAGE_OPTION_KEYS: readonly string[] = Object.keys(READERS);

/**
 * Docker's options for the devicemapper driver, one `dm.KEY=VALUE` each (moby deviceset.go, `NewDeviceSet`):
 * the case of a key does not count, later ones win, `dm.mkfsarg` and `dm.mountopt` add up. Those that only
 * meant something to the kernel's driver are checked and answered with a warning.
 *
 * @throws ThinError unknown-option (Docker's words and the nearest key); invalid-argument, naming the key
 */
export function parseStorageOptions(options: readonly string[]): StorageOptions {
  let result: StorageOptions = { pool: {}, warnings: [] };
  for (const option of options) {
    const { key, value } = splitOption(option);
    const bare = key.startsWith(PREFIX) ? key.slice(PREFIX.length) : '';
    const reader = Object.hasOwn(READERS, bare) ? READERS[bare] : undefined;
    if (reader === undefined) throw unknownOption(option, key);
    result = { ...result, ...reader(value, key, result) };
  }
  return result;
}

/**
 * The settings that result where `options` meet what the pool has; to be asked before either is stored.
 * @throws ThinError invalid-argument
 */
export function mergePoolOptions(change: Partial<PoolOptions>, stored = DEFAULT_POOL_OPTIONS): PoolOptions {
  const merged = { ...stored, ...change };
  if (merged.deferredDeletion && !merged.deferredRemoval)
    throw new ThinError(
      'invalid-argument',
      'dm.use_deferred_deletion needs dm.use_deferred_removal=true; give both, or set dm.use_deferred_deletion=false',
    );
  return merged;
}

function splitOption(option: string): { key: string; value: string } {
  const at = option.indexOf('=');
  if (at < 0)
    throw new ThinError(
      'invalid-argument',
      `unable to parse the storage option ${JSON.stringify(option)}; write it as dm.KEY=VALUE, such as dm.basesize=20G`,
    );
  return { key: option.slice(0, at).trim().toLowerCase(), value: option.slice(at + 1).trim() };
}

function unknownOption(option: string, key: string): ThinError {
  const asGiven = option.slice(0, option.indexOf('=')).trim();
  const bare = key.startsWith(PREFIX) ? key.slice(PREFIX.length) : key;
  const [near] = nearest(bare, STORAGE_OPTION_KEYS);
  const hint =
    near === undefined
      ? `known are ${STORAGE_OPTION_KEYS.map((known) => `dm.${known}`).join(', ')}`
      : `did you mean dm.${near}?`;
  return new ThinError('unknown-option', `devmapper: Unknown option ${asGiven}; ${hint}`, {
    details: { option: asGiven, ...(near === undefined ? {} : { suggestion: `dm.${near}` }) },
  });
}

function withoutEffect(check: (value: string, key: string) => unknown, why: string): Reader {
  return (value, key, { warnings }) => {
    check(value, key);
    return { warnings: [...warnings, `${key} has no effect: ${why}`] };
  };
}

/**
 * As `withoutEffect`, and remembered: a pool that is made without its own data would be another than was
 * meant.
 */
function ofKernelPool(what: string, why: string): Reader {
  return (value, key, { warnings, kernelPool = [] }) => {
    nonEmpty(value, key, what);
    return { warnings: [...warnings, `${key} has no effect: ${why}`], kernelPool: [...kernelPool, key] };
  };
}

function parseFilesystem(value: string, key: string): PoolOptions['filesystem'] {
  if (value === 'xfs' || value === 'ext4') return value;
  throw new ThinError(
    'invalid-argument',
    `devmapper: Unsupported filesystem ${value}; ${key} is xfs or ext4`,
  );
}

function parseBoolean(value: string, key: string): boolean {
  if (TRUE.has(value)) return true;
  if (FALSE.has(value)) return false;
  throw invalid(key, value, 'true or false');
}

function parsePercent(value: string, key: string, highest: number, lowest = 0): number {
  const count = wholeNumber(value.replace(/%$/, ''));
  if (count !== undefined && count >= lowest && count <= highest) return count;
  throw invalid(key, value, `a whole number from ${lowest}% to ${highest}%`);
}

function parseCount(value: string, key: string, lowest: number, highest: number): number {
  const count = wholeNumber(value);
  if (count !== undefined && count >= lowest && count <= highest) return count;
  throw invalid(key, value, `a whole number from ${lowest} to ${highest}`);
}

function wholeNumber(text: string): number | undefined {
  return /^\d+$/.test(text) ? Number(text) : undefined;
}

/** 0: what dm-thin would take. */
function parseMark(value: string, key: string): number {
  return value === 'auto' ? 0 : parseSize(value, key);
}

function nonEmpty(value: string, key: string, what: string): string {
  if (value === '') throw invalid(key, value, `the path of ${what}`);
  return value;
}

function invalid(key: string, value: string, expected: string): ThinError {
  return new ThinError(
    'invalid-argument',
    `devmapper: Invalid value ${JSON.stringify(value)} for option ${key}; it is ${expected}`,
  );
}
