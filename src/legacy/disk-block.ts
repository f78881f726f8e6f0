import { crc32c } from '@node-rs/crc32';
import { legacyDamage } from './legacy-damage.js';

/** dm-thin's metadata block (THIN_METADATA_BLOCK_SIZE). */
export const METADATA_BLOCK = 4096;
export const SECTOR = 512;

/**
 * What is xored into the checksum, so that no block passes for one of another kind (SUPERBLOCK_CSUM_XOR and
 * its like).
 */
const SALTS = { superblock: 160774, node: 121107, bitmap: 240779, index: 160478 } as const;
export type BlockKind = keyof typeof SALTS;
const BLOCK_KINDS = ['superblock', 'node', 'bitmap', 'index'] as const;

const CHECKSUM_AT = 0;
const BLOCK_NUMBER_AT = 8;

/**
 * crc32c of all but the first four bytes, begun at all ones and not inverted at the end (dm-bm.c,
 * `dm_bm_checksum`).
 */
export function wantedChecksum(kind: BlockKind, bytes: Uint8Array): number {
  return (unsaltedChecksum(bytes) ^ SALTS[kind]) >>> 0;
}

function unsaltedChecksum(bytes: Uint8Array): number {
  return crc32c(bytes.subarray(4)) ^ 0xffffffff;
}

/** The kind that a block is of by its checksum; undefined: its checksum is that of none. */
export function kindOfBlock(bytes: Buffer): BlockKind | undefined {
  const salt = (unsaltedChecksum(bytes) ^ storedChecksum(bytes)) >>> 0;
  return BLOCK_KINDS.find((kind) => SALTS[kind] === salt);
}

export function storedChecksum(bytes: Buffer): number {
  return bytes.readUInt32LE(CHECKSUM_AT);
}

/**
 * Every kind of metadata block begins alike: csum:u32, four bytes of its own, blocknr:u64.
 * @throws ThinError damaged, naming `path`
 */
export function checkBlock(kind: BlockKind, block: number, bytes: Buffer, path: string): void {
  if (bytes.length !== METADATA_BLOCK) throw legacyDamage(path, `it is cut off at ${bytes.length} bytes`);
  if (storedChecksum(bytes) !== wantedChecksum(kind, bytes))
    throw legacyDamage(path, `its checksum is not that of a ${kind}`);
  const own = bytes.readBigUInt64LE(BLOCK_NUMBER_AT);
  if (own !== BigInt(block)) throw legacyDamage(path, `it was written as block ${own}`);
}

/** Makes a block whose content is set a valid one, in place. */
export function sealBlock(kind: BlockKind, block: number, bytes: Buffer): Buffer {
  bytes.writeBigUInt64LE(BigInt(block), BLOCK_NUMBER_AT);
  bytes.writeUInt32LE(wantedChecksum(kind, bytes), CHECKSUM_AT);
  return bytes;
}

/**
 * A u64 that is a block number or a count, so that a number holds it. @throws ThinError damaged, naming
 * `path` and `what`
 */
export function readCount(bytes: Buffer, at: number, path: string, what: string): number {
  const value = bytes.readBigUInt64LE(at);
  if (value > BigInt(Number.MAX_SAFE_INTEGER))
    throw legacyDamage(path, `${what} ${value} is too large to be true`);
  return Number(value);
}
