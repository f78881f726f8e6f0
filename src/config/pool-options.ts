/** How chunk values of a `leveldb` pool are packed. */
export const COMPRESSIONS = ['lz4', 'zstd', 'off'] as const;
export type Compression = (typeof COMPRESSIONS)[number];

export type FilesystemType = 'xfs' | 'ext4';

/** Policy that is stored in the pool and can change from start to start; names follow Docker's `dm.` keys. */
export interface PoolOptions {
  readonly filesystem: FilesystemType;
  /** Extra arguments to mkfs, as `dm.mkfsarg` gave them: split on white space. */
  readonly mkfsArgs: readonly string[];
  /** Extra mount options, as `dm.mountopt`: comma-separated. */
  readonly mountOptions: string;
  readonly baseSize: number;
  /** Percent of data and of metadata that must be free when a device is created; 0 .. 99. */
  readonly minFreeSpace: number;
  readonly deferredRemoval: boolean;
  readonly deferredDeletion: boolean;
  /** `dm.xfs_nospace_max_retries`; 0 = the filesystem gives up at once. */
  readonly xfsNospaceMaxRetries: number;
  readonly errorIfNoSpace: boolean;
  /** Seconds; only with `errorIfNoSpace: false`; 0 = for ever. */
  readonly noSpaceTimeout: number;
  /**
   * Percent in use of data or of metadata from which that space grows by itself; 50 .. 100, 100 = never
   * (lvmthin(7)).
   */
  readonly autoextendThreshold: number;
  /** By how many percent of its size; 1 .. 100. */
  readonly autoextendPercent: number;
  /** Bytes that are free when a pool is low on data, or on metadata, and tells so; 0: dm-thin's own mark. */
  readonly lowWater: number;
  readonly metadataLowWater: number;
  /** Seconds for which a read waits for a store elsewhere that fails, before it fails itself; 1 .. 3600. */
  readonly originTimeout: number;
  /** Of what is written from now on; a `direct` pool's chunks are never packed. */
  readonly compression: Compression;
  /** Bytes of chunks that a `leveldb` pool keeps in memory; 0: by the machine's memory. */
  readonly cacheSize: number;
}

/** What changes while the pool serves. */
const LIVE_OPTIONS = [
  'autoextendThreshold',
  'autoextendPercent',
  'minFreeSpace',
  'errorIfNoSpace',
  'noSpaceTimeout',
  'lowWater',
  'metadataLowWater',
  'originTimeout',
  'compression',
  'cacheSize',
] as const satisfies readonly (keyof PoolOptions)[];

export type LiveOptions = Pick<PoolOptions, (typeof LIVE_OPTIONS)[number]>;

export function liveOptionsOf(options: PoolOptions): LiveOptions {
  return Object.fromEntries(LIVE_OPTIONS.map((name) => [name, options[name]])) as unknown as LiveOptions;
}
