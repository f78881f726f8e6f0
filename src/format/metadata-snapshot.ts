import { ByteReader, ByteWriter } from './byte-cursor.js';
import { packDeviceRecord, unpackDeviceRecord, type DeviceRecord } from './device-record.js';
import { deviceId } from './ids.js';
import { HELD_VERSION } from './seal.js';
import { packSuperblock, unpackSuperblock, type Superblock } from './superblock.js';

/**
 * metadata-snapshot := created-at:u64 superblock:bytes devices:u32 flags:u32 first:u32 pieces:u32   version 2
 *                    | created-at:u64 superblock:bytes n:u32 held × n                               version 1
 * held-piece        := snapshot:u32 n:u32 held × n
 * held              := device:u32 record:bytes
 * flags             := bit 0 whole
 * bytes             := length:u32 byte × length
 *
 * What dm-thin's held root points at (dm-thin-metadata.c, `__reserve_metadata_snap`): the superblock and the
 * devices of one moment. Each record's root has one reference more for it. The records stand in the pieces
 * `first` .. `first + pieces - 1`, in no order, so that no value grows with the pool. One that is not whole
 * is being made, or given back: nobody reads it.
 */
export interface MetadataSnapshot {
  /** 1 .. MAX_METADATA_SNAPSHOT. */
  readonly id: number;
  /** Unix time, milliseconds. */
  readonly createdAt: number;
  readonly superblock: Superblock;
  /** How many it has. */
  readonly devices: number;
  readonly isWhole: boolean;
  /** Undefined in version 1, which has the records itself. */
  readonly pieces: HeldRange | undefined;
}

/** Numbers of pieces. */
export interface HeldRange {
  readonly first: number;
  readonly count: number;
}

/** Of version 1, the records behind the rest: each step of the loop reads one. */
export interface ReadSnapshot {
  readonly snapshot: MetadataSnapshot;
  readonly records: Generator<DeviceRecord, void, undefined>;
}

/** Records in a piece that is full: some ten KiB. */
export const HELD_PER_PIECE = 256;

/**
 * Released ones of version 1 are given back under keys behind those of devices, which are u32
 * (metadata/held-roots.ts).
 */
export const MAX_METADATA_SNAPSHOT = 2 ** 24;
export const MAX_HELD_PIECE = 2 ** 32 - 1;

const WHOLE = 1;

export function packMetadataSnapshot(
  snapshot: Omit<MetadataSnapshot, 'pieces'>,
  pieces: HeldRange,
): Uint8Array {
  return new ByteWriter()
    .u64(snapshot.createdAt)
    .bytes(packSuperblock(snapshot.superblock))
    .u32(snapshot.devices)
    .u32(snapshot.isWhole ? WHOLE : 0)
    .u32(pieces.first)
    .u32(pieces.count)
    .finish();
}

export function packHeldPiece(snapshot: number, records: readonly DeviceRecord[]): Uint8Array {
  const to = new ByteWriter().u32(snapshot).u32(records.length);
  for (const record of records) to.u32(record.id).bytes(packDeviceRecord(record));
  return to.finish();
}

/**
 * @param version of the value's seal
 * @throws ThinError damaged, naming `path`; the records throw it, too
 */
export function unpackMetadataSnapshot(
  id: number,
  body: Uint8Array,
  path: string,
  version: number = HELD_VERSION,
): ReadSnapshot {
  const from = new ByteReader(body, path);
  const createdAt = from.u64();
  const superblock = unpackSuperblock(from.bytes(), path);
  const devices = from.u32();
  const common = { id, createdAt, superblock, devices };
  if (version < HELD_VERSION)
    return {
      snapshot: { ...common, isWhole: true, pieces: undefined },
      records: heldRecords(from, devices, path),
    };
  const isWhole = (from.u32() & WHOLE) !== 0;
  const pieces = { first: from.u32(), count: from.u32() };
  from.finish();
  return { snapshot: { ...common, isWhole, pieces }, records: heldRecords(from, 0, path) };
}

/** @throws ThinError damaged, naming `path` */
export function unpackHeldPiece(
  body: Uint8Array,
  path: string,
): { readonly snapshot: number; readonly records: readonly DeviceRecord[] } {
  const from = new ByteReader(body, path);
  const snapshot = from.u32();
  return { snapshot, records: [...heldRecords(from, from.u32(), path)] };
}

function* heldRecords(
  from: ByteReader,
  count: number,
  path: string,
): Generator<DeviceRecord, void, undefined> {
  for (let left = count; left > 0; left--) {
    const device = deviceId(from.u32());
    yield unpackDeviceRecord(device, from.bytes(), path);
  }
  from.finish();
}
