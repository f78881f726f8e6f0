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
 * `Status`), keys in print order.
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
    'Thin Pool Minimum Free Space': formatSize(minimumFree(info)),
    'Deferred Removal Enabled': String(options.deferredRemoval),
    'Deferred Deletion Enabled': String(options.deferredDeletion),
    'Deferred Deleted Device Count': String(around.deletedDevices),
    'Library Version': around.version,
    // Ours, behind Docker's.
    ...(info.dataRemote === undefined ? {} : { 'Data Space Remote': formatSize(info.dataRemote) }),
    ...(info.lacks === undefined ? {} : { Lacks: info.lacks }),
    ...(info.dataStored === undefined ? {} : { 'Data Space Stored': formatSize(info.dataStored) }),
  };
}

/** The same for scripts: bytes, booleans, null for what is not there. */
export function infoJson(info: PoolInfo, around: InfoSurroundings): Readonly<Record<string, unknown>> {
  const { options } = info;
  return {
    storageDriver: 'devicemapper',
    poolName: around.poolName,
    kind: info.kind,
    uuid: info.uuid,
    mode: info.mode,
    needsCheck: info.needsCheck,
    blockSize: info.blockSize,
    baseSize: info.baseSize,
    filesystem: info.baseFilesystem,
    dataFile: around.dataFile ?? null,
    metadataFile: around.metadataFile ?? null,
    dataLoopFile: around.dataLoopFile ?? null,
    metadataLoopFile: around.metadataLoopFile ?? null,
    dataUsed: info.dataUsed,
    dataTotal: info.dataTotal,
    dataAvailable: available(info.dataTotal - info.dataUsed, around.dataHostFree),
    dataStored: info.dataStored ?? null,
    metadataUsed: info.metadataUsed,
    metadataTotal: info.metadataTotal,
    metadataAvailable: available(info.metadataTotal - info.metadataUsed, around.metadataHostFree),
    minFreeSpace: minimumFree(info),
    deferredRemoval: options.deferredRemoval,
    deferredDeletion: options.deferredDeletion,
    deferredDeletedDevices: around.deletedDevices,
    version: around.version,
  };
}

/** Bytes that have to be free where a device is made. */
function minimumFree({ dataTotal, blockSize, options }: PoolInfo): number {
  return Math.floor((Math.floor(dataTotal / blockSize) * options.minFreeSpace) / 100) * blockSize;
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
