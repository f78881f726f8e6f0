import { ByteReader, ByteWriter } from '../format/byte-cursor.js';
import { MAX_STORED } from './block-codec.js';
import type { BlockSeal } from './block-seal.js';
import { DIGEST_BYTES, packDigest, unpackDigest, type Digest } from './digest.js';
import { MAX_PACK, PACK_HEAD, SALT_BYTES, wrongVersion } from './pack.js';

/** The most blocks of a device that one index has: 1 GiB. */
export const SEGMENT_BLOCKS = 16384;
const MAGIC = Buffer.from('thinindx');
const VERSION = 1;

/** Where a block of a device lies in the store. */
export interface BlockPlace {
  readonly name: Digest;
  readonly pack: Digest;
  /** In the pack, in bytes. */
  readonly offset: number;
  readonly length: number;
}

/**
 * The blocks of a part of a device that are not all zeroes, by their numbers from the segment's first: 0 ..
 * SEGMENT_BLOCKS - 1.
 */
export type Segment = ReadonlyMap<number, BlockPlace>;

/**
 * index := sealed(magic version:u32 salt packs:u32 count:u32 pack-digest × packs entry × count)
 * entry := block:u32 pack:u32 offset:u32 length:u32 name
 *
 * Ascending by block. The salt is random, as a pack's.
 */
export function packSegment(segment: Segment, salt: Uint8Array, seal: BlockSeal): Uint8Array {
  const packs = [...new Set([...segment.values()].map(({ pack }) => pack))];
  const numbers = new Map(packs.map((pack, number) => [pack, number]));
  const to = new ByteWriter().raw(MAGIC).u32(VERSION).raw(salt).u32(packs.length).u32(segment.size);
  for (const pack of packs) to.raw(packDigest(pack));
  for (const [block, { name, pack, offset, length }] of [...segment].sort(([x], [y]) => x - y))
    to.u32(block).u32(numbers.get(pack)!).u32(offset).u32(length).raw(packDigest(name));
  return seal.seal(to.finish(), 'index');
}

/** @throws ThinError damaged, wrong-version, naming `path` */
export function unpackSegment(bytes: Uint8Array, seal: BlockSeal, path: string): Segment {
  const from = new ByteReader(seal.open(bytes, 'index', path), path);
  if (!Buffer.from(from.raw(MAGIC.length)).equals(MAGIC))
    throw from.damaged('it does not begin as an index does');
  const version = from.u32();
  if (version !== VERSION) throw wrongVersion(path, version, VERSION);
  from.raw(SALT_BYTES);
  const [packCount, count] = [from.u32(), from.u32()];
  if (count > SEGMENT_BLOCKS || packCount > count) throw from.damaged('it has more blocks than it can have');
  const packs = Array.from({ length: packCount }, () => unpackDigest(from.raw(DIGEST_BYTES)));
  const segment = new Map<number, BlockPlace>();
  for (let last = -1; segment.size < count;) {
    const block = from.u32();
    const pack = packs[from.u32()];
    const [offset, length] = [from.u32(), from.u32()];
    const name = unpackDigest(from.raw(DIGEST_BYTES));
    if (block <= last || block >= SEGMENT_BLOCKS || pack === undefined)
      throw from.damaged('its blocks are not in order');
    if (offset < PACK_HEAD || length === 0 || length > MAX_STORED || offset + length > MAX_PACK)
      throw from.damaged('a block lies outside of its pack');
    segment.set(block, { name, pack, offset, length });
    last = block;
  }
  from.finish();
  return segment;
}
