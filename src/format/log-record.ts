import { crc32 } from '@node-rs/crc32';

/**
 * ring   := records of one epoch and what is left of older ones; the byte at position p stands at p mod ring
 * record := magic:u32 length:u32 position:u64 synced:u64 kind:u32 device:u32 block:u32 chunk:u32 run:u32 origin:u32 pages:u32 within:u32
 *           bytes:u32 checksum:u32 payload[bytes] zeroes(0..63)
 *
 * Little-endian; `length` covers all of it and is a multiple of 64. The checksum is the CRC-32 of the header
 * before it, begun at that of the payload, which is begun at the salt of the epoch. A record follows the one
 * before it without a gap, and none crosses the end of the ring.
 *
 * Behind the last record stands one of kind END at its position. A record takes its place, with another END
 * behind it, and its header, which one sector has, is written last. So a process that dies leaves records and
 * an END. A machine that stops may leave any of the sectors that were not synced.
 */
const MAGIC = 0x334a4654;
/** Bytes of a record without payload, and of what all lengths and positions are multiples of. */
export const LOG_LINE = 64;
const CHECKSUM_AT = 60;

/** An action, in terms of the pool. */
export const LogKind = {
  /** Nothing: no record follows. */
  END: 0,
  /** `run` blocks from `block` on map as many chunks from `chunk` on, whose data is there. */
  MAP: 1,
  /** The block maps the chunk, which has `pages` of its own and the others of `origin`. */
  MAP_PARTIAL: 2,
  /** The block maps the chunk, which holds zeroes but for the payload. */
  PROVISION: 3,
  /** The block maps the chunk, which holds what `origin` does but for the payload. */
  COPY: 4,
  /** The block maps nothing. */
  UNMAP: 5,
  /** The payload was written to the chunk. */
  DATA: 6,
  /** The chunk got `pages`, whose data is there. */
  PAGES: 7,
  /** Nothing up to the end of the ring. */
  SKIP: 8,
  /**
   * Everything written to the data of a `direct` pool before the position `device + 2^32 × block` is on its
   * disk.
   */
  SYNCED: 9,
  /** The bytes of the chunk, which were in a store elsewhere, are in the data of a `direct` pool. */
  FETCHED: 10,
  /**
   * A device was made, of `origin` where that is not 0 (`device-change.ts`). `run` is the version of the
   * record that the payload has; 0: as 1.
   */
  CREATE: 11,
  /** A device's record was changed (`device-change.ts`). `run` as in CREATE. */
  CHANGE: 12,
  /** The device was removed. */
  REMOVE: 13,
} as const;
export type LogKind = (typeof LogKind)[keyof typeof LogKind];

/** Whether it is about a device as a whole, and not about its blocks. */
export function isDeviceChange(kind: LogKind): boolean {
  return kind === LogKind.CREATE || kind === LogKind.CHANGE || kind === LogKind.REMOVE;
}

/** Fields that a kind does not name are 0. */
export interface LogFields {
  readonly kind: LogKind;
  readonly device: number;
  readonly block: number;
  readonly chunk: number;
  readonly run: number;
  readonly origin: number;
  readonly pages: number;
  /** Where the payload belongs in the chunk, in bytes. */
  readonly within: number;
}

/** An action from the log; `payload` is a view of the bytes that were read. */
export interface LoggedAction extends LogFields {
  readonly payload: Uint8Array;
}

/** A record as it was read. */
export interface LogRecord extends LoggedAction {
  readonly position: number;
  /** Bytes, with its padding. */
  readonly length: number;
  /** Everything before this position was on the disk when the record was written. */
  readonly synced: number;
}

export const NO_FIELDS: Omit<LogFields, 'kind'> = {
  device: 0,
  block: 0,
  chunk: 0,
  run: 0,
  origin: 0,
  pages: 0,
  within: 0,
};

/** Bytes that a record takes. */
export function logRecordSize(payload: number): number {
  return LOG_LINE + Math.ceil(payload / LOG_LINE) * LOG_LINE;
}

/** Where the checksums of an epoch begin. */
export function logSalt(id: string, epoch: number): number {
  return crc32(`${id} ${epoch}`);
}

/** Writes all but what `placeRecord` does. @returns the CRC-32 of the payload, which that wants */
export function packRecord(
  into: Buffer,
  fields: LogFields,
  payload: { readonly from: Uint8Array; readonly at: number; readonly length: number },
  salt: number,
): number {
  into.writeUInt32LE(MAGIC, 0);
  into.writeUInt32LE(logRecordSize(payload.length), 4);
  into.writeUInt32LE(fields.kind, 24);
  into.writeUInt32LE(fields.device, 28);
  into.writeUInt32LE(fields.block, 32);
  into.writeUInt32LE(fields.chunk, 36);
  into.writeUInt32LE(fields.run, 40);
  into.writeUInt32LE(fields.origin, 44);
  into.writeUInt32LE(fields.pages >>> 0, 48);
  into.writeUInt32LE(fields.within, 52);
  into.writeUInt32LE(payload.length, 56);
  if (payload.length === 0) return salt;
  const data = payload.from.subarray(payload.at, payload.at + payload.length);
  into.set(data, LOG_LINE);
  into.fill(0, LOG_LINE + payload.length, logRecordSize(payload.length));
  return crc32(data, salt);
}

/** The rest of a record that was packed, once its place in the log is known. */
export function placeRecord(into: Buffer, position: number, synced: number, payloadChecksum: number): void {
  writeU64(into, position, 8);
  writeU64(into, synced, 16);
  into.writeUInt32LE(crc32(into.subarray(0, CHECKSUM_AT), payloadChecksum), CHECKSUM_AT);
}

/** One without payload, whole. */
export function packLine(
  into: Buffer,
  fields: LogFields,
  { position, synced, length = LOG_LINE }: { position: number; synced: number; length?: number },
  salt: number,
): void {
  packRecord(into, fields, { from: into, at: 0, length: 0 }, salt);
  into.writeUInt32LE(length, 4);
  placeRecord(into, position, synced, salt);
}

/** The record at byte `at` of the ring, of this epoch; undefined: there is none that is whole. */
export function readRecord(ring: Buffer, at: number, salt: number): LogRecord | undefined {
  if (at + LOG_LINE > ring.length || ring.readUInt32LE(at) !== MAGIC) return undefined;
  const length = ring.readUInt32LE(at + 4);
  const kind = ring.readUInt32LE(at + 24) as LogKind;
  const bytes = ring.readUInt32LE(at + 56);
  const isSized = kind === LogKind.SKIP ? length === ring.length - at : length === logRecordSize(bytes);
  if (!isSized || at + length > ring.length) return undefined;
  const payload = ring.subarray(at + LOG_LINE, at + LOG_LINE + bytes);
  const checksum = crc32(ring.subarray(at, at + CHECKSUM_AT), bytes === 0 ? salt : crc32(payload, salt));
  if (ring.readUInt32LE(at + CHECKSUM_AT) !== checksum) return undefined;
  return {
    kind,
    length,
    position: readU64(ring, at + 8),
    synced: readU64(ring, at + 16),
    device: ring.readUInt32LE(at + 28),
    block: ring.readUInt32LE(at + 32),
    chunk: ring.readUInt32LE(at + 36),
    run: ring.readUInt32LE(at + 40),
    origin: ring.readUInt32LE(at + 44),
    pages: ring.readInt32LE(at + 48),
    within: ring.readUInt32LE(at + 52),
    payload,
  };
}

/** What a record of kind SYNCED tells. */
export function syncedThrough({ device, block }: Pick<LogFields, 'device' | 'block'>): number {
  return device + block * 2 ** 32;
}

export function syncedFields(position: number): LogFields {
  const block = Math.floor(position / 2 ** 32);
  return { ...NO_FIELDS, kind: LogKind.SYNCED, device: position % 2 ** 32, block };
}

function writeU64(into: Buffer, value: number, at: number): void {
  into.writeUInt32LE(value % 2 ** 32, at);
  into.writeUInt32LE(Math.floor(value / 2 ** 32), at + 4);
}

function readU64(from: Buffer, at: number): number {
  return from.readUInt32LE(at) + from.readUInt32LE(at + 4) * 2 ** 32;
}
