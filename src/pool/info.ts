import type { FilesystemType, LiveOptions, PoolOptions } from '../config/pool-options.js';
import type { TrafficTotals } from '../threads/traffic.js';
import type { Automount, Content, Labels } from '../format/device-properties.js';
import type { DeviceId, DeviceName, SnapTime, TransactionId } from '../format/ids.js';

export type { Automount, Content, Labels };
export type { FilesystemType, LiveOptions, PoolOptions, TrafficTotals };

export type DeviceKind = 'base' | 'image' | 'container' | 'snapshot';
export type PoolKind = 'leveldb' | 'direct';

/** As dm-thin's status line names them (dm-thin.c, `pool_status`). */
export type PoolMode = 'rw' | 'ro' | 'out_of_data_space' | 'fail';

/** A thin device as it stands; a value, not a live view. All sizes in bytes. */
export interface DeviceInfo {
  readonly id: DeviceId;
  readonly name: DeviceName;
  readonly kind: DeviceKind;
  /** The device it is a snapshot of, also after that one is gone; undefined for the base device. */
  readonly origin: DeviceId | undefined;
  readonly originName: DeviceName | undefined;
  readonly size: number;
  /** What it may map, whether it shares that or not; undefined for no limit. */
  readonly quota?: number | undefined;
  /**
   * What may be in use of its filesystem while the daemon has it mounted: the filesystem tells writers, and
   * shows what is left. Undefined: all that it has.
   */
  readonly limit?: number | undefined;
  /** Exact at once: includes what no commit has written yet. */
  readonly mapped: number;
  /** Chunks that only this device maps; may trail by a commit or two. */
  readonly exclusive: number;
  /** mapped - exclusive. */
  readonly shared: number;
  /**
   * Of `mapped`, what is in a store elsewhere and not here; of a snapshot or container, at most. Undefined:
   * nothing.
   */
  readonly remote?: number | undefined;
  /** End of the last mapped block, bytes from the start; 0 where nothing is mapped. As of the last commit. */
  readonly highestMapped: number;
  readonly transactionId: TransactionId;
  readonly creationTime: SnapTime;
  readonly snapTime: SnapTime;
  /** Unix time, milliseconds. */
  readonly createdAt: number;
  readonly filesystem: FilesystemType;
  /** Bytes that the filesystem inside was last known to span; below `size`, it grows at the next mount. */
  readonly filesystemSize: number;
  /** Docker's `initialized`: true only for a base device that has its filesystem. */
  readonly initialized: boolean;
  /** Docker's `deleted`: removal was asked for and waits for the last user. */
  readonly deleted: boolean;
  /** What the device's user keeps with it (`SnapshotRequest.label`); empty for none. */
  readonly label: string;
  /**
   * Of an incomplete device: the process that makes it (`format/maker.ts`), or `KEPT_PART`. Only that process
   * uses the device, and it is removed after the process ends. Empty for all others.
   */
  readonly maker: string;
  /** Not told by daemons that know only `rootfs`. */
  readonly content?: Content | undefined;
  /** How it is mounted when the daemon starts; undefined: it is not. */
  readonly automount?: Automount | undefined;
  /** Not told by daemons that know none. */
  readonly labels?: Labels | undefined;
  /** Its image file is being served. */
  readonly active: boolean;
  /** Its requests since it became active. */
  readonly traffic?: TrafficTotals | undefined;
}

/** The pool as it stands. All sizes in bytes. */
export interface PoolInfo {
  readonly kind: PoolKind;
  readonly uuid: string;
  readonly mode: PoolMode;
  readonly needsCheck: boolean;
  readonly blockSize: number;
  readonly transactionId: TransactionId;
  readonly time: SnapTime;
  readonly dataUsed: number;
  readonly dataTotal: number;
  /**
   * `leveldb` pools: what LevelDB's tables take on the disk for chunks, packed and with what was overwritten
   * and not given back so far. Only where it was asked for (`ThinPool.stored`), and not where the store
   * cannot tell.
   */
  readonly dataStored?: number | undefined;
  /** Of `dataUsed`, what is in stores elsewhere and not here. */
  readonly dataRemote?: number | undefined;
  readonly metadataUsed: number;
  readonly metadataTotal: number;
  /** dm-thin counts metadata in blocks of 4096 bytes; one tree node is one such block. */
  readonly metadataBlockSize: number;
  /** The last device number that was given out (Docker's next_device_id). */
  readonly lastDeviceId: DeviceId;
  readonly baseDeviceUuid: string;
  readonly baseFilesystem: FilesystemType;
  readonly baseSize: number;
  /** The number of the newest metadata snapshot that is reserved. */
  readonly heldRoot?: number | undefined;
  /**
   * Writers that find no chunk are told so at once, though the pool's options have them wait: the time for
   * that has passed.
   */
  readonly waitedEnough?: boolean | undefined;
  /**
   * What devices show lacks something, and why: the pool is read-only and could not take over what its log
   * has. Undefined: nothing.
   */
  readonly lacks?: string | undefined;
  /** Devices that are deleted for their users, but whose space is still being given back. */
  readonly pendingDeletes: number;
  readonly options: PoolOptions;
}
