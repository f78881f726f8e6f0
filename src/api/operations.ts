import type { CheckDepth, Finding } from '../metadata/check.js';
import type { HeldChoice } from '../metadata/metadata-view.js';
import type { ChunkRegion } from '../metadata/reverse-map.js';
import type { Automount, LiveOptions, PoolInfo } from '../pool/info.js';
import type { ReservedSnapshot } from '../pool/pool-tools.js';
import type { RemoteFigures } from '../pool/remote-fetcher.js';
import type { FoundRemote, RemoteRequest } from '../pool/remote-source.js';
import type { NewRemoteImage, RemoteImageInfo, SpaceRequest, ThinRequest } from '../pool/thin-pool.js';
import type { TrimResult } from '../service/device-access.js';
import type { MountAsk } from '../service/device-mounts.js';
import type { CreateRequest, DeviceStatus } from '../service/devices.js';
import type { DeltaOptions } from '../thin-tools/delta-text.js';
import type { DumpOptions } from '../thin-tools/dump.js';
import type { DoctorReport } from './doctor-report.js';

/**
 * Everything that can be asked of a pool, whether over the control socket (`POST /v1/<name>`, JSON both ways)
 * or in the same process. Inputs are checked against `schemas` (daemon/schemas.ts) on the serving side.
 * Failures are ThinErrors on both sides.
 *
 * `needs: 'pool'` operations work on an open pool alone; `needs: 'devices'` ones need the FUSE directory, so
 * only a daemon serves them.
 */
export interface Operations {
  status: { input: Empty; output: DaemonStatus };
  'pool.info': { input: Empty; output: PoolInfo };
  'pool.check': { input: CheckInput; output: CheckReport };
  /** dm-thin's messages reserve_metadata_snap, release_metadata_snap and set_transaction_id. */
  'metadata.reserve': { input: Empty; output: ReservedSnapshot };
  'metadata.release': { input: { snapshot: number }; output: Empty };
  'metadata.reserved': { input: Empty; output: readonly ReservedSnapshot[] };
  'pool.setTransactionId': { input: { from: number; to: number }; output: Empty };
  /** What changes while the pool serves: at once, and for good. */
  'pool.set': { input: LiveSettings; output: PoolInfo };
  /** Errors: as `ThinPool.extend`. */
  'pool.extend': { input: SpaceRequest; output: PoolInfo };
  'pool.commit': { input: Empty; output: Empty };
  /** Resolves when no removed device still holds space. */
  'pool.settle': { input: Empty; output: Empty };
  'device.list': { input: Empty; output: readonly DeviceStatus[] };
  'device.get': { input: { name: string }; output: DeviceStatus };
  /** Bytes that come back when all of these go. Errors: as `PoolTools.jointExclusive`. */
  'device.exclusive': { input: { names: readonly string[] }; output: { bytes: number } };
  'device.create': { input: CreateRequest; output: DeviceStatus };
  /**
   * Writable copies of one moment of `origin`, all of them or none: containers of an image, snapshots of
   * everything else. At most 1000 names.
   */
  'device.clone': {
    input: { origin: string; names: readonly string[] };
    output: readonly DeviceStatus[];
  };
  /** A device without an origin, all of it unmapped; `filesystem` is what will be written into it. */
  'device.createThin': {
    input: { name: string } & Omit<ThinRequest, 'name' | 'labels'>;
    output: DeviceStatus;
  };
  /**
   * An image whose content was just unpacked becomes one for good, and is whole. Errors: busy (still
   * mounted).
   */
  'device.seal': { input: { name: string; maker?: string | undefined }; output: DeviceStatus };
  /** What `maker` makes is whole. */
  'device.finish': { input: { name: string; maker: string }; output: DeviceStatus };
  /** A kept part becomes `maker`'s; with `keep`, what it makes becomes a kept part. */
  'device.rename': {
    input: { name: string; to: string; maker?: string | undefined; keep?: boolean | undefined };
    output: DeviceStatus;
  };
  /**
   * A snapshot that `maker` holds becomes what its origin was pushed as: it stays as it is, for as long as
   * the origin is there. `label` says where it was pushed to.
   */
  'device.anchor': {
    input: { name: string; to: string; label: string; maker: string };
    output: DeviceStatus;
  };
  /**
   * The device that `maker` makes, which is empty, gets what an image in a store has: it is there at once,
   * and its bytes are fetched when they are read. Errors: as `ThinPool.attachRemote`.
   */
  'device.attach': {
    input: { name: string; maker: string; image: NewRemoteImage };
    output: { chunks: number };
  };
  /**
   * Fetches the rest of the device's image in the background, also after a restart; with `wait`, answers when
   * all of it is here. Errors: as `ThinPool.hydrate`.
   */
  'device.hydrate': { input: { name: string; wait?: boolean | undefined }; output: DeviceStatus };
  /** Blocks of chunks that it, or what was made of it, has read first; as `ThinPool.firstReads`. */
  'device.reads': {
    input: { name: string; maker?: string | undefined };
    output: { blocks: readonly number[] };
  };
  /**
   * Finds an image in a store for a device that is made of it next. Errors: as `ThinPool.findRemote`.
   */
  'remote.find': { input: RemoteRequest; output: FoundRemote };
  /** None is made of the image that was found with this note. */
  'remote.forget': { input: { note: string }; output: Empty };
  /** Images in stores that the pool has its bytes of. */
  'remote.images': { input: Empty; output: readonly RemoteImageInfo[] };
  /** Bytes that it may map; 0: no limit. Errors: invalid-argument (it maps more already). */
  'device.quota': { input: { name: string; quota: number }; output: DeviceStatus };
  /**
   * Bytes of its filesystem that may be in use while the daemon has it mounted; 0: all. A mounted one follows
   * at once. Errors: invalid-argument (less than a MiB).
   */
  'device.limit': { input: { name: string; limit: number }; output: DeviceStatus };
  /**
   * How it is mounted at each start of the daemon; null: not at all. Mounts nothing now. Errors: exists
   * (another device has that target).
   */
  'device.automount': { input: { name: string; automount: Automount | null }; output: DeviceStatus };
  /** Labels of the user's own; null takes one away, and those that are not named stay. */
  'device.labels': {
    input: {
      name: string;
      labels: Readonly<Record<string, string | null>>;
      maker?: string | undefined;
    };
    output: DeviceStatus;
  };
  /** `name` holds what `to` holds, in one commit; it is neither mounted nor active. */
  'device.rollback': { input: { name: string; to: string }; output: DeviceStatus };
  'device.grow': { input: { name: string; size: number }; output: DeviceStatus };
  /**
   * `force` unmounts and deactivates first. Without it, a device in use is marked deleted and is removed
   * after its last user (`deferred`), or is `busy` where the pool's option `deferredDeletion` is off.
   */
  'device.remove': { input: { name: string; force?: boolean | undefined }; output: { deferred: boolean } };
  'base.format': { input: Empty; output: DeviceStatus };
  /**
   * `maker`, here and with `mount`: the process that makes the device. No other process uses the device until
   * it is complete.
   */
  activate: {
    input: { name: string; maker?: string | undefined };
    /** `fresh`: it was not active before. */
    output: { path: string; fresh: boolean } & Incompleteness;
  };
  /**
   * A device in use is deactivated after its last user (`deferred`), or is `busy` where the pool's option
   * `deferredRemoval` is off.
   */
  deactivate: { input: { name: string }; output: { deferred: boolean } };
  mount: {
    input: { name: string; maker?: string | undefined } & Omit<MountAsk, 'inPlace'>;
    output: { path: string; loop: string } & Incompleteness;
  };
  umount: { input: { name: string }; output: Empty };
  /**
   * Gives back the space of what was deleted in a mounted filesystem (fstrim(8)). Errors: not-found (not
   * mounted), read-only (mounted so), unsupported (the transport or the filesystem carries no discards).
   */
  trim: { input: { name: string }; output: TrimResult };
  /**
   * The device's files for reading, for as long as the process `holder` (a pid) lives or until `view.close`:
   * the mount that is there already, else a read-only one of its own. A device that is viewed is not
   * unmounted or removed.
   */
  'view.open': {
    input: { name: string; holder: number; maker?: string | undefined };
    output: { path: string } & Incompleteness;
  };
  'view.close': { input: { name: string; holder: number }; output: Empty };
  /** The daemon's figures in Prometheus' text format; also `GET /metrics` on the control socket. */
  metrics: { input: Empty; output: { text: string } };
  /**
   * Serves the page (`page/`) on `listen` (`[HOST:]PORT`; port 0: any), until the daemon ends; the address
   * that is served already, where there is one and none is named. Beyond this machine a `token` guards it,
   * which `url` has. Errors: invalid-argument, busy (the port is taken).
   */
  'ui.open': { input: { listen?: string | undefined }; output: { url: string } };
  /** Explains leftovers and what blocks operations. With `fix`, repairs everything that no process uses. */
  doctor: { input: { fix?: boolean | undefined }; output: DoctorReport };
  /**
   * Unmounts everything, answers, then stops the daemon. Errors: busy (a filesystem is in use; the daemon
   * goes on), which `force` turns into a lazy unmount after a sync.
   */
  stop: { input: { force?: boolean | undefined }; output: Incompleteness };
  /**
   * Answers. Then the daemon ends, and its supervisor starts another one under the mounts. Their users see a
   * pause. Errors: unsupported (no supervisor, another transport, a kernel before 6.9).
   */
  restart: { input: Empty; output: Empty };
}

export type OperationName = keyof Operations;

/** Operations that answer with text of any length, handed on as it is made (api/text-lines.ts). */
export interface TextOperations {
  'metadata.dump': { input: Omit<DumpOptions, 'poolOptions'> & FromSnapshot };
  /**
   * What an active device maps now, one `PlacedRun` in JSON a line, also where the store is behind it; no
   * caller writes to it meanwhile. Errors: not-found, closed (not active), damaged.
   */
  'device.runs': { input: { device: string } };
  'metadata.delta': { input: DeltaOptions & FromSnapshot };
  /**
   * The daemon's events, one JSON object a line (`DaemonEvent`): those of before that are kept with `past`,
   * those to come with `follow`.
   */
  events: { input: { past?: boolean | undefined; follow?: boolean | undefined } };
  'metadata.rmap': {
    input: FromSnapshot & { regions: readonly ChunkRegion[]; json?: boolean | undefined };
  };
  /** One `ScrubStep` in JSON a piece. */
  'pool.scrub': { input: Empty };
}

interface FromSnapshot {
  /** Undefined: the pool as it is. */
  readonly snapshot?: HeldChoice | undefined;
}

export type TextOperationName = keyof TextOperations;
export type Empty = Readonly<Record<string, never>>;

export interface Caller {
  call<K extends OperationName>(name: K, input: Operations[K]['input']): Promise<Operations[K]['output']>;
  /** Fails while it is read. */
  text<K extends TextOperationName>(name: K, input: TextOperations[K]['input']): AsyncIterable<string>;
}

/** What the metadata tools need, which a damaged pool has to offer too. */
export interface MetadataCaller extends Pick<Caller, 'text'> {
  check(input: CheckInput): Promise<CheckReport>;
}

export type { DeviceStatus, TrimResult };

/** Of files that are read through a read-only mount. */
export interface Incompleteness {
  /**
   * What they may lack, and why: the log of their filesystem is not clean and cannot be replayed now.
   * Undefined: nothing.
   */
  readonly lacks?: string | undefined;
}

/** Of the pool's options; what is undefined stays. */
export type LiveSettings = { readonly [K in keyof LiveOptions]?: LiveOptions[K] | undefined };

export interface DaemonStatus {
  readonly pid: number;
  /** Unix time, milliseconds. */
  readonly startedAt: number;
  readonly root: string;
  readonly pool: string;
  readonly transport: 'fuse-native' | 'kernel';
  readonly mode: PoolInfo['mode'];
  readonly transactionId: number;
  /** Those that `pool.set` changes. */
  readonly settings: LiveOptions;
  /** dm-thin's own status line. */
  readonly dm: string;
  readonly devices: { readonly total: number; readonly active: number; readonly mounted: number };
  /** Of chunks whose bytes are in stores elsewhere; not told by daemons that can have none. */
  readonly remote?: RemoteFigures | undefined;
  /** As `PoolInfo.lacks`. */
  readonly lacks?: string | undefined;
}

export interface CheckInput {
  /** Default: all. */
  readonly depth?: CheckDepth | undefined;
  /** Where nothing is wrong. */
  readonly clearNeedsCheck?: boolean | undefined;
  /**
   * Mends what `CheckFinding.repairable` says of everything that was found; only where no daemon has the
   * pool: `busy`.
   */
  readonly autoRepair?: boolean | undefined;
}

export interface CheckReport {
  readonly ok: boolean;
  /** After the check. */
  readonly needsCheck: boolean;
  readonly transactionId: number;
  /** Blocks of 4096 bytes. */
  readonly metadataFree: number;
  /** Findings that were mended. */
  readonly repaired: number;
  readonly findings: readonly CheckFinding[];
  readonly devices: number;
  readonly nodes: number;
  readonly chunks: number;
  /**
   * Changes in the pool's log that its store does not have yet, and that were not looked at: only of a pool
   * that no daemon has open.
   */
  readonly logged?: number;
}

export type CheckFinding = Finding;
