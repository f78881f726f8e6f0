import { crc32 } from 'node:zlib';
import { ThinError } from '../errors/thin-error.js';
import { damage } from './damage.js';
import type { ChunkId } from './ids.js';

/**
 * The kind of a sealed value. The value stores the number, which also salts the checksum, so that one kind
 * never passes for another.
 */
const KINDS = {
  superblock: 1,
  options: 2,
  node: 3,
  'chunk-map-sheet': 4,
  'node-map-sheet': 5,
  device: 6,
  'pending-delete': 7,
  chunk: 8,
  'data-label': 9,
  'metadata-snapshot': 10,
  'chunk-backing': 11,
  'chunk-patch': 12,
  commit: 13,
  // 14 is not used.
  'log-state': 15,
  'log-head': 16,
  'remote-sheet': 17,
  'remote-image': 18,
  'held-piece': 19,
} as const;
export type SealKind = keyof typeof KINDS;

/** The format that this program writes. Older ones are read, newer ones refused. */
export const FORMAT_VERSION = 1;
/** Of chunks and patches whose bytes are packed (`packed-value.ts`). */
export const PACKED_VERSION = 2;
/** Of the log's state, since changes of devices stand in the log. */
export const STATE_VERSION = 2;
/** Of the state of a log that may have a device's record in `RECORD_VERSION`. */
export const RECORDS_STATE_VERSION = 3;
/** Of device records with a field that older programs would take for damage. */
export const RECORD_VERSION = 2;
/** Of metadata snapshots whose records stand in pieces. */
export const HELD_VERSION = 2;
/** Of kinds that have a newer one. */
const NEWER: Partial<Record<SealKind, number>> = {
  superblock: 3,
  'data-label': 2,
  device: RECORD_VERSION,
  chunk: PACKED_VERSION,
  'chunk-patch': PACKED_VERSION,
  'log-state': RECORDS_STATE_VERSION,
  'metadata-snapshot': HELD_VERSION,
};
export const SEAL_BYTES = 16;

/**
 * sealed := checksum:u32 kind:u16 version:u16 id:u64 body
 *
 * checksum = CRC-32 (zlib) of everything behind it, begun at the kind's salt. The id is the value's own (node
 * number, sheet number, device number; 0 where there is one of a kind), so a value under the wrong key is
 * found out.
 */
export function seal(
  kind: SealKind,
  id: number,
  body: Uint8Array,
  version: number = FORMAT_VERSION,
): Uint8Array {
  const bytes = new Uint8Array(SEAL_BYTES + body.length);
  bytes.set(body, SEAL_BYTES);
  sealInPlace(kind, id, bytes, version);
  return bytes;
}

/** As `seal`, of a body that has room for the seal before it. */
export function sealInPlace(
  kind: SealKind,
  id: number,
  bytes: Uint8Array,
  version: number = FORMAT_VERSION,
): void {
  writeSeal(bytes, 0, kind, id, version);
  const checksum = crc32(bytes.subarray(4), salt(KINDS[kind]));
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(0, checksum, true);
}

/**
 * The body: a view into `bytes`.
 * @throws ThinError damaged (cut off, checksum, another kind, another id), wrong-version; both name `path`
 */
export function unseal(kind: SealKind, id: number, bytes: Uint8Array, path: string): Uint8Array {
  if (bytes.length < SEAL_BYTES) throw damage(path, `it is cut off at ${bytes.length} bytes`);
  checkSeal(bytes, 0, (salted) => crc32(bytes.subarray(4), salted), kind, id, path);
  return bytes.subarray(SEAL_BYTES);
}

/**
 * Writes the trailer of a chunk's value in place. `frame` is the chunk's data and 16 bytes more:
 *
 * chunk := data checksum:u32 kind:u16 version:u16 id:u64
 *
 * The seal comes last here so that the data is aligned and a frame is what a request is copied into.
 */
export function sealChunk(frame: Uint8Array, chunk: ChunkId, version: number = FORMAT_VERSION): void {
  const at = frame.length - SEAL_BYTES;
  writeSeal(frame, at, 'chunk', chunk, version);
  new DataView(frame.buffer, frame.byteOffset).setUint32(at, chunkChecksum(frame, salt(KINDS.chunk)), true);
}

/**
 * What stands before the seal: a view into `value`.
 * @throws ThinError damaged (cut off, checksum, another kind, another id), wrong-version; both name `path`
 */
export function unsealChunk(value: Uint8Array, chunk: ChunkId, path: string): Uint8Array {
  const at = value.length - SEAL_BYTES;
  if (at < 0) throw damage(path, `it is cut off at ${value.length} bytes`);
  checkSeal(value, at, (salted) => chunkChecksum(value, salted), 'chunk', chunk, path);
  return value.subarray(0, at);
}

/** Of a seal that holds, which begins at `at`. */
export function sealVersion(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint16(at + 6, true);
}

function chunkChecksum(frame: Uint8Array, salted: number): number {
  const at = frame.length - SEAL_BYTES;
  return crc32(frame.subarray(at + 4), crc32(frame.subarray(0, at), salted));
}

function salt(kind: number): number {
  return Math.imul(kind, 0x9e3779b1) >>> 0;
}

function writeSeal(
  bytes: Uint8Array,
  at: number,
  kind: SealKind,
  id: number,
  version: number = FORMAT_VERSION,
): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  view.setUint16(at + 4, KINDS[kind], true);
  view.setUint16(at + 6, version, true);
  view.setUint32(at + 8, id % 2 ** 32, true);
  view.setUint32(at + 12, Math.floor(id / 2 ** 32), true);
}

/** Whether the seal at `at` says that it is of this kind and number; its checksum is not looked at. */
export function sealedAs(bytes: Uint8Array, at: number, kind: SealKind, id: number): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const foundId = view.getUint32(at + 8, true) + view.getUint32(at + 12, true) * 2 ** 32;
  return isSealOf(bytes, at, kind) && foundId === id;
}

/** Whether the seal at `at` says that it is of this kind. */
export function isSealOf(bytes: Uint8Array, at: number, kind: SealKind): boolean {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint16(at + 4, true) === KINDS[kind];
}

function checkSeal(
  bytes: Uint8Array,
  at: number,
  checksum: (salt: number) => number,
  kind: SealKind,
  id: number,
  path: string,
): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const found = view.getUint32(at, true);
  const foundKind = view.getUint16(at + 4, true);
  const version = view.getUint16(at + 6, true);
  const foundId = view.getUint32(at + 8, true) + view.getUint32(at + 12, true) * 2 ** 32;
  if (checksum(salt(KINDS[kind])) !== found) {
    const isWhole = foundKind !== KINDS[kind] && checksum(salt(foundKind)) === found;
    throw damage(
      path,
      isWhole
        ? `it holds a value of kind ${foundKind}, not a ${kind}`
        : 'its checksum does not fit its contents',
    );
  }
  const newest = NEWER[kind] ?? FORMAT_VERSION;
  if (version > newest)
    throw new ThinError(
      'wrong-version',
      `${path} was written in format ${version}, and this thinfuse reads up to ${newest}; use a newer thinfuse`,
      { details: { path, version } },
    );
  if (foundKind !== KINDS[kind]) throw damage(path, `it holds a value of kind ${foundKind}, not a ${kind}`);
  if (foundId !== id) throw damage(path, `it holds what belongs to ${kind} ${foundId}`);
}
