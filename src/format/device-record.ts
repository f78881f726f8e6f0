import { ByteReader, ByteWriter } from './byte-cursor.js';
import {
  NO_LABELS,
  packAutomount,
  packLabels,
  unpackAutomount,
  unpackLabels,
  type Automount,
  type Content,
  type Labels,
} from './device-properties.js';
import {
  deviceId,
  nodeId,
  snapTime,
  transactionId,
  type DeviceId,
  type DeviceName,
  type NodeId,
  type SnapTime,
  type TransactionId,
} from './ids.js';
import { FORMAT_VERSION, RECORD_VERSION, seal } from './seal.js';

export const DEVICE_KINDS = ['base', 'image', 'container', 'snapshot'] as const;
export const FILESYSTEMS = ['xfs', 'ext4'] as const;
const INITIALIZED = 1;
const DELETED = 2;
const LABELLED = 4;
const LIMITED = 8;
const UNFINISHED = 16;
const BOUNDED = 32;
const PLAIN = 64;
const RAW = 128;
const AUTOMOUNTED = 256;
const TAGGED = 512;

/**
 * device := name:text kind:u8 origin:u32 origin-name:text size:u64 root:u32 mapped:u64 transaction:u64 creation-time:u32
 *           snap-time:u32 created-at:u64 filesystem:u8 filesystem-size:u64 flags:u32 family:u32 exclusive:u64 label:text?
 *           quota:u64? maker:text? limit:u64? automount? labels?     (device-properties.ts)
 *
 * dm-thin's device details (dm-thin-metadata.c, `struct disk_device_details`) and, beside them, what Docker's
 * driver kept in JSON files, so that the two cannot drift apart.
 */
export interface DeviceRecord {
  readonly id: DeviceId;
  readonly name: DeviceName;
  readonly kind: (typeof DEVICE_KINDS)[number];
  /** Zero: none. */
  readonly origin: DeviceId;
  readonly originName: string;
  /** Bytes. */
  readonly size: number;
  readonly root: NodeId;
  /** Chunks mapped. */
  readonly mapped: number;
  readonly transactionId: TransactionId;
  readonly creationTime: SnapTime;
  /** The pool's time when it was last snapshotted: mappings that are older may be shared. */
  readonly snapTime: SnapTime;
  /** Unix time, milliseconds. */
  readonly createdAt: number;
  readonly filesystem: (typeof FILESYSTEMS)[number];
  readonly filesystemSize: number;
  readonly initialized: boolean;
  readonly deleted: boolean;
  /** The device at the top of its lineage: only members of one family can share chunks. */
  readonly family: DeviceId;
  /** Chunks that no other device maps, when they were last counted. */
  readonly exclusive: number;
  /** Whatever the device's user keeps with it; empty for none, and then not stored. */
  readonly label: string;
  /** Bytes that it may map; zero for no limit, and then not stored. */
  readonly quota: number;
  /**
   * The process that makes the device (`format/maker.ts`), or `KEPT_PART` or `PUSHED`. Empty, and not stored,
   * for a complete device.
   */
  readonly maker: string;
  /**
   * Bytes of its filesystem that may be in use: the filesystem itself says when they are; zero for all that
   * it has, and then not stored.
   */
  readonly limit: number;
  /** Its snapshots' too. */
  readonly content: Content;
  /** Undefined, and not stored: it is mounted on request only. */
  readonly automount: Automount | undefined;
  /** The user's own; not stored where there are none. */
  readonly labels: Labels;
}

/** In place of a maker: a part that came before a stream was cut, kept until it is gone on with. */
export const KEPT_PART = 'kept';

/**
 * In place of a maker: a device as it was pushed to a store, which stays as it is, to be compared with; its
 * label says where.
 */
export const PUSHED = 'pushed';

export function packDeviceRecord(record: DeviceRecord): Uint8Array {
  const labelled = record.label !== '';
  const limited = record.quota !== 0;
  const unfinished = record.maker !== '';
  const bounded = record.limit !== 0;
  const tagged = Object.keys(record.labels).length > 0;
  const to = new ByteWriter()
    .text(record.name)
    .u8(DEVICE_KINDS.indexOf(record.kind))
    .u32(record.origin)
    .text(record.originName)
    .u64(record.size)
    .u32(record.root)
    .u64(record.mapped)
    .u64(record.transactionId)
    .u32(record.creationTime)
    .u32(record.snapTime)
    .u64(record.createdAt)
    .u8(FILESYSTEMS.indexOf(record.filesystem))
    .u64(record.filesystemSize)
    .u32(
      (record.initialized ? INITIALIZED : 0) |
        (record.deleted ? DELETED : 0) |
        (labelled ? LABELLED : 0) |
        (limited ? LIMITED : 0) |
        (unfinished ? UNFINISHED : 0) |
        (bounded ? BOUNDED : 0) |
        (record.content === 'plain' ? PLAIN : 0) |
        (record.content === 'raw' ? RAW : 0) |
        (record.automount === undefined ? 0 : AUTOMOUNTED) |
        (tagged ? TAGGED : 0),
    )
    .u32(record.family)
    .u64(record.exclusive);
  if (labelled) to.text(record.label);
  if (limited) to.u64(record.quota);
  if (unfinished) to.text(record.maker);
  if (bounded) to.u64(record.limit);
  if (record.automount !== undefined) packAutomount(to, record.automount);
  if (tagged) packLabels(to, record.labels);
  return to.finish();
}

/** As it is stored. Older programs refuse a record with newer fields, and do not call it damaged. */
export function sealDeviceRecord(record: DeviceRecord): Uint8Array {
  return seal('device', record.id, packDeviceRecord(record), recordVersion(record));
}

/** `RECORD_VERSION` where it has fields that the first programs do not know. */
export function recordVersion({ limit, content, automount, labels }: DeviceRecord): number {
  const hasMore =
    limit !== 0 || content !== 'rootfs' || automount !== undefined || Object.keys(labels).length > 0;
  return hasMore ? RECORD_VERSION : FORMAT_VERSION;
}

/** @throws ThinError damaged, naming `path` */
export function unpackDeviceRecord(id: DeviceId, body: Uint8Array, path: string): DeviceRecord {
  const from = new ByteReader(body, path);
  const head = {
    id,
    name: from.text() as DeviceName,
    kind: from.choice(DEVICE_KINDS),
    origin: deviceId(from.u32()),
    originName: from.text(),
    size: from.u64(),
    root: nodeId(from.u32()),
    mapped: from.u64(),
    transactionId: transactionId(from.u64()),
    creationTime: snapTime(from.u32()),
    snapTime: snapTime(from.u32()),
    createdAt: from.u64(),
    filesystem: from.choice(FILESYSTEMS),
    filesystemSize: from.u64(),
  };
  const flags = from.u32();
  const tail = {
    family: deviceId(from.u32()),
    exclusive: from.u64(),
    label: (flags & LABELLED) === 0 ? '' : from.text(),
    quota: (flags & LIMITED) === 0 ? 0 : from.u64(),
    maker: (flags & UNFINISHED) === 0 ? '' : from.text(),
    limit: (flags & BOUNDED) === 0 ? 0 : from.u64(),
    content: contentOf(flags),
    automount: (flags & AUTOMOUNTED) === 0 ? undefined : unpackAutomount(from),
    labels: (flags & TAGGED) === 0 ? NO_LABELS : unpackLabels(from),
  };
  from.finish();
  return {
    ...head,
    initialized: (flags & INITIALIZED) !== 0,
    deleted: (flags & DELETED) !== 0,
    ...tail,
  };
}

function contentOf(flags: number): Content {
  if ((flags & RAW) !== 0) return 'raw';
  return (flags & PLAIN) === 0 ? 'rootfs' : 'plain';
}
