import { ByteReader, ByteWriter } from './byte-cursor.js';
import { packDeviceRecord, unpackDeviceRecord, type DeviceRecord } from './device-record.js';
import { deviceId } from './ids.js';
import { packSuperblock, unpackSuperblock, type Superblock } from './superblock.js';

/**
 * metadata-snapshot := created-at:u64 superblock:bytes n:u32 { device:u32 record:bytes } × n
 * bytes             := length:u32 byte × length
 *
 * What dm-thin's held root points at (dm-thin-metadata.c, `__reserve_metadata_snap`): the superblock and the
 * devices of one moment. Each record's root has one reference more for it.
 */
export interface MetadataSnapshot {
  /** 1 .. MAX_METADATA_SNAPSHOT. */
  readonly id: number;
  /** Unix time, milliseconds. */
  readonly createdAt: number;
  readonly superblock: Superblock;
  /** Ascending by id. */
  readonly devices: readonly DeviceRecord[];
}

/**
 * Released ones are given back under keys behind those of devices, which are u32
 * (metadata/held-roots.ts).
 */
export const MAX_METADATA_SNAPSHOT = 2 ** 24;

/** What `packHeldRecord` made of records before: it takes most of the time. */
export type PackedRecords = Pick<WeakMap<DeviceRecord, Uint8Array>, 'get'>;

export function packHeldRecord(record: DeviceRecord): Uint8Array {
  return new ByteWriter().u32(record.id).bytes(packDeviceRecord(record)).finish();
}

export function packMetadataSnapshot(
  snapshot: MetadataSnapshot,
  packed: PackedRecords = new WeakMap(),
): Uint8Array {
  const to = new ByteWriter()
    .u64(snapshot.createdAt)
    .bytes(packSuperblock(snapshot.superblock))
    .u32(snapshot.devices.length);
  for (const record of snapshot.devices) to.raw(packed.get(record) ?? packHeldRecord(record));
  return to.finish();
}

/** @throws ThinError damaged, naming `path` */
export function unpackMetadataSnapshot(id: number, body: Uint8Array, path: string): MetadataSnapshot {
  const steps = unpackingMetadataSnapshot(id, body, path);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** The same in steps of one device each, for a caller that others wait for. */
export function* unpackingMetadataSnapshot(
  id: number,
  body: Uint8Array,
  path: string,
): Generator<undefined, MetadataSnapshot, undefined> {
  const from = new ByteReader(body, path);
  const createdAt = from.u64();
  const superblock = unpackSuperblock(from.bytes(), path);
  const devices: DeviceRecord[] = [];
  for (let left = from.u32(); left > 0; left--) {
    const device = deviceId(from.u32());
    devices.push(unpackDeviceRecord(device, from.bytes(), path));
    yield;
  }
  from.finish();
  return { id, createdAt, superblock, devices };
}
