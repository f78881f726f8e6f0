import { ThinError } from '../errors/thin-error.js';
import { ByteReader, ByteWriter } from '../format/byte-cursor.js';
import type { BlockSeal } from './block-seal.js';
import { MAX_STORED } from './block-codec.js';
import { DIGEST_BYTES, packDigest, unpackDigest, type Digest } from './digest.js';

/** Bytes of a pack at most, all of it. */
export const MAX_PACK = 16 * 2 ** 20;
export const SALT_BYTES = 16;
const MAGIC = Buffer.from('thinpack');
const VERSION = 1;
export const PACK_HEAD = MAGIC.length + 4 + SALT_BYTES;
export const PACK_FOOT = 8 + MAGIC.length;
const ENTRY_BYTES = 8 + DIGEST_BYTES;
const SEALED_MORE = 28;

/** A block in a pack. In bytes, from the pack's beginning. */
export interface PackedBlock {
  readonly name: Digest;
  readonly offset: number;
  readonly length: number;
}

/**
 * pack  := magic version:u32 salt stored* sealed(table) count:u32 table-length:u32 magic
 * table := (offset:u32 length:u32 name) × count
 *
 * Written once, under its SHA-256. The salt is random: no two packs have one name, whatever they hold.
 */
export class PackWriter {
  readonly blocks: PackedBlock[] = [];
  readonly #pieces: Uint8Array[] = [];
  readonly #seal: BlockSeal;
  #length = PACK_HEAD;

  /** @param salt 16 random bytes */
  constructor(salt: Uint8Array, seal: BlockSeal) {
    this.#seal = seal;
    this.#pieces.push(MAGIC, u32(VERSION), salt);
  }

  hasRoomFor(stored: number): boolean {
    const table = (this.blocks.length + 1) * ENTRY_BYTES + SEALED_MORE;
    return this.#length + stored + table + PACK_FOOT <= MAX_PACK;
  }

  /** There is room for it. */
  add(name: Digest, stored: Uint8Array): PackedBlock {
    const block = { name, offset: this.#length, length: stored.length };
    this.blocks.push(block);
    this.#pieces.push(stored);
    this.#length += stored.length;
    return block;
  }

  finish(): Uint8Array {
    const table = new ByteWriter();
    for (const { name, offset, length } of this.blocks) table.u32(offset).u32(length).raw(packDigest(name));
    const sealed = this.#seal.seal(table.finish(), 'pack table');
    return Buffer.concat([...this.#pieces, sealed, u32(this.blocks.length), u32(sealed.length), MAGIC]);
  }
}

/**
 * Where a pack's table lies, from the pack's size and its last `PACK_FOOT` bytes. @throws ThinError damaged
 */
export function unpackFoot(
  foot: Uint8Array,
  size: number,
  path: string,
): { readonly offset: number; readonly length: number; readonly count: number } {
  const from = new ByteReader(foot, path);
  const [count, length] = [from.u32(), from.u32()];
  if (!Buffer.from(from.raw(MAGIC.length)).equals(MAGIC))
    throw from.damaged('it does not end as a pack does');
  from.finish();
  const offset = size - PACK_FOOT - length;
  if (size > MAX_PACK || offset < PACK_HEAD || length < count * ENTRY_BYTES)
    throw from.damaged('its table does not fit in it');
  return { offset, length, count };
}

/** @throws ThinError damaged */
export function unpackTable(
  table: Uint8Array,
  { offset: end, count }: { readonly offset: number; readonly count: number },
  seal: BlockSeal,
  path: string,
): PackedBlock[] {
  const from = new ByteReader(seal.open(table, 'pack table', path), path);
  const blocks: PackedBlock[] = [];
  for (let index = 0; index < count; index++) {
    const [offset, length] = [from.u32(), from.u32()];
    const name = unpackDigest(from.raw(DIGEST_BYTES));
    if (offset < PACK_HEAD || length > MAX_STORED || offset + length > end)
      throw from.damaged('a block lies outside of it');
    blocks.push({ name, offset, length });
  }
  from.finish();
  return blocks;
}

/** All blocks of a whole pack, whose digest was looked at. @throws ThinError damaged, wrong-version */
export function unpackPack(pack: Uint8Array, seal: BlockSeal, path: string): PackedBlock[] {
  const from = new ByteReader(pack, path);
  if (!Buffer.from(from.raw(MAGIC.length)).equals(MAGIC))
    throw from.damaged('it does not begin as a pack does');
  const version = from.u32();
  if (version !== VERSION) throw wrongVersion(path, version, VERSION);
  const place = unpackFoot(pack.subarray(pack.length - PACK_FOOT), pack.length, path);
  return unpackTable(pack.subarray(place.offset, place.offset + place.length), place, seal, path);
}

export function wrongVersion(path: string, found: number, known: number): ThinError {
  return new ThinError(
    'wrong-version',
    `${path}: it is of version ${found}, and this program reads ${known}; use a newer thinfuse`,
  );
}

function u32(value: number): Uint8Array {
  return new ByteWriter().u32(value).finish();
}
