import type { ImageFile } from '../io/image-file.js';
import type { DeviceRecord } from '../format/device-record.js';
import type { DeviceId, DeviceName, TransactionId } from '../format/ids.js';
import type { RemoteImage } from '../format/remote-image.js';
import type { CheckResult } from '../metadata/check.js';
import type { NameWatch } from '../metadata/device-table.js';
import type {
  Content,
  DeviceInfo,
  DeviceKind,
  FilesystemType,
  Labels,
  PoolInfo,
  PoolKind,
  PoolMode,
  PoolOptions,
} from './info.js';
import type { PoolFigures } from './figures.js';
import type { FoundLayers, FoundRemote, LayersRequest, RemoteRequest } from './remote-source.js';
import type { SpaceEvent } from './space-events.js';
import type { PoolCheckOptions, PoolTools } from './pool-tools.js';

export interface SnapshotRequest {
  readonly name: DeviceName;
  readonly origin: DeviceName;
  readonly kind: Exclude<DeviceKind, 'base'>;
  /** Bytes; at least the origin's, a multiple of 512. Default: the origin's. */
  readonly size?: number | undefined;
  /**
   * Opaque to the pool, and kept in the device's record. A user of the device keeps facts here that must
   * never drift from the device. A few KiB; it is written with every commit that changes the device. Not
   * inherited. Default: empty.
   */
  readonly label?: string | undefined;
  /**
   * Bytes that the device may map, those included that it shares with its origin; at least what that maps.
   * Not inherited. Default: no limit.
   */
  readonly quota?: number | undefined;
  /** Bytes; see `DeviceInfo.limit`. Not inherited. Default: none. */
  readonly limit?: number | undefined;
  /** See `DeviceInfo.maker`. Default: it is whole. */
  readonly maker?: string | undefined;
  /** What the origin's label becomes in the same commit. Default: it stays. */
  readonly originLabel?: string | undefined;
  /** Default: the origin's; of a device without one, `rootfs`. */
  readonly content?: Content | undefined;
  /** Not inherited. Default: none. */
  readonly labels?: Labels | undefined;
}

/** An empty device, whose filesystem is still to be written. */
export interface ThinRequest extends Pick<
  SnapshotRequest,
  'name' | 'kind' | 'label' | 'maker' | 'quota' | 'content' | 'labels'
> {
  /** Bytes; a multiple of 512. */
  readonly size: number;
  readonly filesystem: FilesystemType;
}

type Changeable = 'label' | 'quota' | 'limit' | 'maker' | 'content' | 'automount' | 'labels';

/** What may change of a device besides its data, as in its record; all of it in one commit. */
export interface DeviceChange extends Partial<
  Pick<DeviceRecord, Changeable | 'filesystemSize' | 'initialized' | 'deleted'>
> {
  readonly kind?: Exclude<DeviceKind, 'base'>;
  /** UUID of the filesystem on the base device, kept in the superblock (Docker: BaseDeviceUUID). */
  readonly baseUuid?: string;
}

export type MakerChange = Pick<DeviceChange, 'maker' | 'label'>;

export interface PoolEvents {
  /** After a commit that changed devices (not only data) is durable. */
  readonly onDevicesChanged?: () => void;
  readonly onModeChanged?: (mode: PoolMode, reason: string) => void;
  readonly onSpace?: (event: SpaceEvent) => void;
  /** Bytes of remote chunks cannot be fetched, or can again (undefined). */
  readonly onRemote?: (problem: string | undefined) => void;
}

/** An image in a store; see `format/remote-image.ts`. */
export type NewRemoteImage = Omit<RemoteImage, 'family' | 'isHydrating'>;

export interface AttachOptions {
  /**
   * The image that the device is like, byte by byte, because it is a snapshot of a device of that: then it
   * shares what both images have. Default: the device is empty.
   */
  readonly below?: NewRemoteImage | undefined;
  /** For which a store that is away is asked again; default: a minute. */
  readonly timeoutMs?: number | undefined;
}

/** Sizes in bytes. */
export interface RemoteImageInfo {
  readonly url: string;
  readonly digest: string;
  /** Where the key's file is; empty: it is not encrypted. */
  readonly keyFile: string;
  /** Of the environment in which it is reached; no secrets. */
  readonly settings: RemoteImage['settings'];
  /** What is still there alone. */
  readonly remote: number;
  readonly isHydrating: boolean;
}

/** Bytes; undefined: as it is. */
export interface SpaceRequest {
  /** `max`: as much as its disk has room for. */
  readonly data?: number | 'max' | undefined;
  readonly metadata?: number | undefined;
}

export interface DeviceChoice {
  readonly hidden?: boolean;
}

export interface PoolCounts {
  readonly devices: number;
  /** With an image file. */
  readonly active: number;
  /** Marked deleted. */
  readonly deleted: number;
}

/**
 * The pool: the one owner of its store. Every method that changes something resolves when the change is
 * durable, and rejects with nothing changed. Methods may be called concurrently; lifecycle operations run one
 * after the other.
 */
export interface ThinPool {
  info(): PoolInfo;
  /**
   * Ascending by device id; includes those marked deleted, not those whose space is only being given back.
   * `hidden`: those that the daemon has made for itself (`isHidden`) instead of users' devices. All at one
   * moment, so that its cost grows with the number of devices. A process that serves other callers uses
   * `eachDevice`.
   */
  devices(options?: DeviceChoice): readonly DeviceInfo[];
  /**
   * The same in bounded steps, between which others have their turns: each device is as it is when it comes.
   */
  eachDevice(options?: DeviceChoice): AsyncIterable<DeviceInfo>;
  device(name: DeviceName): DeviceInfo | undefined;
  figures(): PoolFigures;
  /** Of users' devices; costs nothing. */
  counts(): PoolCounts;
  /** Tells which devices came, went or changed from now on. */
  watch(): NameWatch;
  /** The last lifecycle transaction, for Docker's transaction-metadata. */
  lastTransaction():
    { readonly id: TransactionId; readonly name: DeviceName; readonly device: DeviceId } | undefined;

  /**
   * O(1) whatever the device's size. An active origin is quiesced for the moment of the snapshot; a
   * filesystem mounted on it is the caller's to freeze. Errors: not-found, exists, invalid-argument (smaller
   * than the origin), too-large, no-space (below `minFreeSpace`; device ids or metadata used up), read-only.
   */
  createSnapshot(request: SnapshotRequest): Promise<DeviceInfo>;
  /** Of one moment of the origin and in one commit: all of them or none. In the order of the requests. */
  createSnapshots(
    origin: DeviceName,
    requests: readonly Omit<SnapshotRequest, 'origin'>[],
  ): Promise<readonly DeviceInfo[]>;
  /**
   * `name` becomes a snapshot of `to`, in one commit with the removal of what it was. Errors: as
   * `createSnapshot` and `remove`.
   */
  rollback(name: DeviceName, to: DeviceName): Promise<DeviceInfo>;
  /**
   * A device without an origin, all of it unmapped (dm-thin's create_thin). Errors: exists, invalid-argument,
   * too-large, no-space, read-only.
   */
  createThin(request: ThinRequest): Promise<DeviceInfo>;
  /** Errors: not-found, exists, busy (active). */
  /** Whether there is a device of this number. */
  has(id: DeviceId): boolean;
  rename(name: DeviceName, to: DeviceName, change?: MakerChange): Promise<DeviceInfo>;
  /** Works on an active device. Errors: not-found, invalid-argument (would shrink), too-large. */
  grow(name: DeviceName, size: number): Promise<DeviceInfo>;
  update(name: DeviceName, change: DeviceChange): Promise<DeviceInfo>;
  /**
   * O(1): the space comes back in the background (`settle` waits for it). Errors: not-found, busy (active),
   * invalid-argument (base).
   */
  remove(name: DeviceName): Promise<void>;
  setOptions(change: Partial<PoolOptions>): Promise<void>;

  /**
   * Finds an image in a store, which keeps it for the device that is made of it. Errors: those of
   * `RemoteSource.find`; read-only, unsupported (nothing fetches here).
   */
  findRemote(request: RemoteRequest): Promise<FoundRemote>;
  /** As `RemoteSource.findLayers`. Errors: also read-only, unsupported (nothing fetches here). */
  findLayers(request: LayersRequest): Promise<FoundLayers | undefined>;
  /** No device is made of the image that was found with this note. Errors: io, permission. */
  forgetRemote(note: string): Promise<void>;
  /**
   * Maps a chunk of an empty device for all that an image in a store has; their bytes are fetched when they
   * are read. Where it rejects, the device is to be removed. Errors: not-found, busy (active, or not empty),
   * invalid-argument, no-space, read-only, unsupported (nothing fetches here), io.
   */
  attachRemote(
    name: DeviceName,
    image: NewRemoteImage,
    options?: AttachOptions,
  ): Promise<{ readonly chunks: number }>;
  /**
   * Fetches the rest of the images that the device may have something of; begins at once, and goes on after
   * a restart until it is done. Resolves when that is so; `leftRemote` says how far it is. Errors: not-found,
   * io, closed.
   */
  hydrate(name: DeviceName): Promise<void>;
  /**
   * Blocks of chunks that the device, or what was made of it, has read first since the pool was opened, some
   * 2000 of a device: what a start reads. Errors: not-found.
   */
  firstReads(name: DeviceName): readonly number[];
  /** Images in stores that something here has its bytes of. */
  remoteImages(): readonly RemoteImageInfo[];

  /** Idempotent: the device's one image file while it is active. Errors: not-found. */
  activate(name: DeviceName): Promise<ImageFile>;
  /** Commits and closes the image file. The caller ensures that no process has it open. Idempotent. */
  deactivate(name: DeviceName): Promise<void>;
  /**
   * From now on, requests of an active device wait so long for bytes that are in a store elsewhere, in
   * milliseconds, and then fail with io; undefined: as long as the pool's `originTimeout` says.
   */
  setPatience(name: DeviceName, patience: number | undefined): void;
  /** The image file of an active device. */
  active(name: DeviceName): ImageFile | undefined;

  commit(): Promise<void>;
  /**
   * Makes the pool larger while it works; writers that wait for space go on. Errors: invalid-argument (would
   * shrink), too-large, no-space (the data device is no larger), and those of growing the data file.
   */
  extend(to: SpaceRequest): Promise<PoolInfo>;
  /**
   * As `PoolInfo.dataStored`; undefined for a `direct` pool. Costs some looks at indexes, whatever the pool
   * holds. Errors: io.
   */
  stored(): Promise<number | undefined>;
  /** Resolves when no removed device holds space and `exclusive` figures are current. */
  settle(): Promise<void>;
  /**
   * Reads the whole committed metadata from the store, trusting nothing in memory. Runs beside normal work.
   */
  check(options?: PoolCheckOptions): Promise<PoolCheck>;
  readonly tools: PoolTools;
  /** Deactivates everything, commits, closes the store. Idempotent. */
  close(): Promise<void>;
}

export type PoolCheck = CheckResult;

export interface CreatePoolRequest {
  /** Default: leveldb. */
  readonly kind?: PoolKind;
  /** The LevelDB folder: missing or empty. */
  readonly path: string;
  /** Bytes. */
  readonly blockSize: number;
  readonly dataSize: number;
  readonly metadataSize: number;
  readonly options: PoolOptions;
}
