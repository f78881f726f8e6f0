import { formatSize } from '../config/sizes.js';
import type { PoolInfo } from '../pool/info.js';

/** What the block shows besides the pool's own figures. */
export interface InfoSurroundings {
  readonly poolName: string;
  /** A block device; like the next three, without a line where there is none. */
  readonly dataFile?: string | undefined;
  readonly metadataFile?: string | undefined;
  /** A file or folder of the host that stands for a device: a `leveldb` pool's folder is both. */
  readonly dataLoopFile?: string | undefined;
  readonly metadataLoopFile?: string | undefined;
  /**
   * Bytes that the host's filesystem still has for data and for metadata: no more than that is available,
   * whatever the pool may take.
   */
  readonly dataHostFree?: number | undefined;
  readonly metadataHostFree?: number | undefined;
  /** Devices marked deleted that wait for their last user. */
  readonly deletedDevices: number;
  readonly version: string;
}

/**
 * The devicemapper block of `docker info`, field for field in the order of Docker 24 (moby driver.go,
 * `Status`), keys in print order; also the JSON form.
 */
export function infoFields(info: PoolInfo, around: InfoSurroundings): Readonly<Record<string, string>> {
  const files = {
    'Data file': around.dataFile,
    'Metadata file': around.metadataFile,
    'Data loop file': around.dataLoopFile,
    'Metadata loop file': around.metadataLoopFile,
  };
  const present = Object.entries(files).filter((entry): entry is [string, string] => (entry[1] ?? '') !== '');
  const { options } = info;
  const minimumFree = Math.floor((Math.floor(info.dataTotal / info.blockSize) * options.minFreeSpace) / 100);
  return {
    'Storage Driver': 'devicemapper',
    'Pool Name': around.poolName,
    'Pool Blocksize': formatSize(info.blockSize),
    'Base Device Size': formatSize(info.baseSize),
    'Backing Filesystem': info.baseFilesystem,
    // Docker asked whether it could be sure that a node is there before it is used; here it always is.
    'Udev Sync Supported': 'true',
    ...Object.fromEntries(present),
    'Data Space Used': formatSize(info.dataUsed),
    'Data Space Total': formatSize(info.dataTotal),
    'Data Space Available': formatSize(available(info.dataTotal - info.dataUsed, around.dataHostFree)),
    'Metadata Space Used': formatSize(info.metadataUsed),
    'Metadata Space Total': formatSize(info.metadataTotal),
    'Metadata Space Available': formatSize(
      available(info.metadataTotal - info.metadataUsed, around.metadataHostFree),
    ),
    'Thin Pool Minimum Free Space': formatSize(minimumFree * info.blockSize),
    'Deferred Removal Enabled': String(options.deferredRemoval),
    'Deferred Deletion Enabled': String(options.deferredDeletion),
    'Deferred Deleted Device Count': String(around.deletedDevices),
    'Library Version': around.version,
    // Ours, behind Docker's.
    ...(info.dataStored === undefined ? {} : { 'Data Space Stored': formatSize(info.dataStored) }),
  };
}

/**
 * As `docker info` indents it since 18.09: the driver by one space, its fields by two. No newline at the end.
 */
export function infoBlock(info: PoolInfo, around: InfoSurroundings): string {
  return Object.entries(infoFields(info, around))
    .map(([key, value], index) => `${index === 0 ? ' ' : '  '}${key}: ${value}`)
    .join('\n');
}

function available(free: number, hostFree: number | undefined): number {
  return Math.max(0, Math.min(free, hostFree ?? free));
}
