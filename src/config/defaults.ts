import type { PoolOptions } from './pool-options.js';

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

/** The folder of a pool without --root. */
export const DEFAULT_ROOT = '/var/lib/thinfuse';

/**
 * Docker's `dm.blocksize` and the smallest that dm-thin has: a first write to a shared chunk copies that
 * much, and images full of small files share more of what is smaller.
 */
export const DEFAULT_BLOCK_SIZE = 64 * KIB;
/** dm-thin's own bounds (thin-provisioning.rst): a multiple of the smallest, up to the largest. */
export const MIN_BLOCK_SIZE = 64 * KIB;
export const MAX_BLOCK_SIZE = 1 * GIB;

/** Docker's `dm.loopdatasize`. A promise, not a reservation: the host's disk fills as chunks are written. */
export const DEFAULT_DATA_SIZE = 100 * GIB;
/**
 * Docker's `dm.loopmetadatasize`: far more than 100G of data in 64K chunks can need, and as little reserved.
 */
export const DEFAULT_METADATA_SIZE = 2 * GIB;

/** A size that the user gave is a limit, and stays one until the user asks for more. */
export const NEVER_EXTEND = 100;

/** Devices are seen through loop devices, which count in sectors. */
export const SECTOR_SIZE = 512;

export const DEFAULT_POOL_OPTIONS: PoolOptions = {
  // Docker's choice where mkfs.xfs is there: it grows while mounted and formats at once whatever the size.
  filesystem: 'xfs',
  mkfsArgs: [],
  mountOptions: '',
  // Docker's since 1.10. Larger costs nothing until it is written, but a device never shrinks.
  baseSize: 10 * GIB,
  // Docker's. A device that is refused is met at once; a pool that runs full is met by every filesystem on
  // it.
  minFreeSpace: 10,
  // Docker's since 17.07: the operator need not search the user of a busy device; it is removed after its
  // last user.
  deferredRemoval: true,
  deferredDeletion: true,
  // The kernel's own default retries for ever, which is how a full pool used to hang its users; Docker left
  // it at that.
  xfsNospaceMaxRetries: 0,
  // dm-thin queues (`queue_if_no_space`); nothing here may hang.
  errorIfNoSpace: true,
  // dm-thin's `no_space_timeout`.
  noSpaceTimeout: 60,
  originTimeout: 60,
  // What Docker wrote into its LVM profile (`dm.thinp_autoextend_threshold`, `dm.thinp_autoextend_percent`).
  autoextendThreshold: 80,
  autoextendPercent: 20,
  // Docker's and containerd's, and dm-thin's, which follow the pool's size.
  lowWater: 0,
  metadataLowWater: 0,
  compression: 'lz4',
  cacheSize: 0,
};
