import { promisify } from 'node:util';
import { deflate, inflate } from 'node:zlib';
import { ThinError } from '../../errors/thin-error.js';
import type { BlockReader } from '../block-reader.js';
import { kindOfBlock, METADATA_BLOCK } from '../disk-block.js';
import { packBlock, PackedBytes, spoilt, unpackBlock } from './pack-node.js';

const MAGIC = 0xa537a0aa6309ef77n;
const VERSION = 3n;
const HEADER_BYTES = 32;
/** Blocks that are compressed together. */
const BATCH = 1024;
/** Far more than that many blocks come to when they are packed. */
const MAX_BATCH_BYTES = 64 * 2 ** 20;

const pack = promisify(deflate);
const unpack = promisify<Buffer, { maxOutputLength: number }, Buffer>(inflate);

/** Where packed bytes come from, in order. */
export interface PackSource {
  /** As many bytes as are asked for, or those that are left. */
  read(bytes: number): Promise<Buffer>;
}

/**
 * pack := magic:u64 version:u64 block-size:u64 blocks:u64 (bytes:u64 zlib((block:u64 instructions)*))*
 *
 * Metadata as thin_metadata_pack 1.x writes it: only blocks whose checksum is right, and so nothing that a
 * pool has forgotten. Errors: damaged (a block that cannot be read).
 */
export async function* packMetadata(reader: BlockReader): AsyncGenerator<Buffer> {
  const header = Buffer.alloc(HEADER_BYTES);
  [MAGIC, VERSION, BigInt(METADATA_BLOCK), BigInt(reader.blocks)].forEach((value, index) =>
    header.writeBigUInt64LE(value, index * 8),
  );
  yield header;
  let batch: Buffer[] = [];
  for (let block = 0; block < reader.blocks; block++) {
    const bytes = reader.read(block);
    const kind = kindOfBlock(bytes);
    if (kind === undefined) continue;
    const number = Buffer.alloc(8);
    number.writeBigUInt64LE(BigInt(block));
    batch.push(number, packBlock(bytes, kind === 'node'));
    if (batch.length < 2 * BATCH) continue;
    yield* compressed(batch);
    batch = [];
  }
  if (batch.length > 0) yield* compressed(batch);
}

/** Errors: invalid-argument (no pack), wrong-version, damaged. */
export async function unpackMetadata(
  source: PackSource,
  target: {
    /** Told first: bytes of the metadata. */
    resize(bytes: number): Promise<void>;
    write(offset: number, bytes: Buffer): Promise<void>;
  },
): Promise<number> {
  const blocks = await readHeader(source);
  await target.resize(blocks * METADATA_BLOCK);
  let count = 0;
  for (;;) {
    const head = await source.read(8);
    if (head.length === 0) return count;
    const length = head.length === 8 ? head.readBigUInt64LE() : 0n;
    if (length === 0n || length > BigInt(MAX_BATCH_BYTES)) throw spoilt('it is cut off, or no pack');
    const bytes = await source.read(Number(length));
    if (bytes.length < Number(length)) throw spoilt('it is cut off');
    const packed = new PackedBytes(await inflated(bytes));
    while (!packed.isEnd) {
      const block = packed.number(8);
      if (block >= BigInt(blocks)) throw spoilt(`it has a block ${block}, and there are ${blocks}`);
      await target.write(Number(block) * METADATA_BLOCK, unpackBlock(packed));
      count++;
    }
  }
}

async function readHeader(source: PackSource): Promise<number> {
  const header = await source.read(HEADER_BYTES);
  if (header.length < HEADER_BYTES || header.readBigUInt64LE(0) !== MAGIC)
    throw new ThinError('invalid-argument', 'this is not a pack of thin_metadata_pack');
  if (header.readBigUInt64LE(8) !== VERSION)
    throw new ThinError(
      'wrong-version',
      `the pack has version ${header.readBigUInt64LE(8)}, and ${VERSION} is known`,
    );
  const blocks = header.readBigUInt64LE(24);
  if (header.readBigUInt64LE(16) !== BigInt(METADATA_BLOCK) || blocks > 2n ** 32n)
    throw spoilt('its header is not possible');
  return Number(blocks);
}

async function inflated(bytes: Buffer): Promise<Buffer> {
  try {
    return await unpack(bytes, { maxOutputLength: MAX_BATCH_BYTES });
  } catch (error) {
    throw spoilt(`it cannot be decompressed (${String(error)})`);
  }
}

async function* compressed(parts: readonly Buffer[]): AsyncGenerator<Buffer> {
  const bytes = await pack(Buffer.concat(parts));
  const head = Buffer.alloc(8);
  head.writeBigUInt64LE(BigInt(bytes.length));
  yield head;
  yield bytes;
}
