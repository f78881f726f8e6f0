import { checkBlock, METADATA_BLOCK } from './disk-block.js';
import { legacyDamage } from './legacy-damage.js';

const HEADER_BYTES = 32;
const KEY_BYTES = 8;
const CHILD_BYTES = 8;
const INTERNAL = 1;
const LEAF = 2;
/** Above this, the high half of a u64 makes a number that no double holds exactly. */
const MAX_HIGH = 2 ** 21;

/** Entries that any node can have, of values without bytes. */
export const MAX_ENTRIES = (METADATA_BLOCK - HEADER_BYTES) / KEY_BYTES;

/** A node of one of dm-thin's trees, verified. Keys ascend strictly. */
export class LegacyNode {
  readonly block: number;
  readonly isLeaf: boolean;
  readonly valueSize: number;
  readonly keys: Float64Array;
  readonly #bytes: Buffer;
  readonly #view: DataView;
  readonly #valuesAt: number;

  constructor(parts: {
    block: number;
    isLeaf: boolean;
    valueSize: number;
    keys: Float64Array;
    bytes: Buffer;
    valuesAt: number;
  }) {
    this.block = parts.block;
    this.isLeaf = parts.isLeaf;
    this.valueSize = parts.valueSize;
    this.keys = parts.keys;
    this.#bytes = parts.bytes;
    this.#view = viewOf(parts.bytes);
    this.#valuesAt = parts.valuesAt;
  }

  get count(): number {
    return this.keys.length;
  }

  /** A view of a value's bytes. */
  value(index: number): Buffer {
    const at = this.#valuesAt + index * this.valueSize;
    return this.#bytes.subarray(at, at + this.valueSize);
  }

  /** The halves of a value of eight bytes; the first is all of one of four. */
  low(index: number): number {
    return this.#view.getUint32(this.#valuesAt + index * this.valueSize, true);
  }

  high(index: number): number {
    return this.#view.getUint32(this.#valuesAt + index * this.valueSize + 4, true);
  }

  /** A value that is the number of a block. @throws ThinError damaged, naming `path` */
  child(index: number, path: string): number {
    const high = this.high(index);
    if (high >= MAX_HIGH) throw legacyDamage(path, `entry ${index} leads to no block`);
    return high * 2 ** 32 + this.low(index);
  }

  /** Place of the first key that is at least `key`; `count` where there is none. */
  ceiling(key: number): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.keys[middle]! < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Place of the last key that is at most `key`; -1 where there is none. */
  floor(key: number): number {
    const at = this.ceiling(key);
    return at < this.count && this.keys[at] === key ? at : at - 1;
  }
}

/**
 * node := csum:u32 flags:u32 blocknr:u64 nr-entries:u32 max-entries:u32 value-size:u32 padding:u32 key:u64 × max-entries value × max-entries
 *
 * As `struct btree_node` of dm-btree-internal.h; flags: 1 internal, 2 leaf. Values of an internal node are
 * blocks.
 * @param into takes the keys, `MAX_ENTRIES` of them; a fresh array unless given
 * @throws ThinError damaged, naming `path`
 */
export function unpackTreeNode(block: number, bytes: Buffer, path: string, into?: Float64Array): LegacyNode {
  checkBlock('node', block, bytes, path);
  const flags = bytes.readUInt32LE(4);
  const count = bytes.readUInt32LE(16);
  const capacity = bytes.readUInt32LE(20);
  const valueSize = bytes.readUInt32LE(24);
  if (flags !== INTERNAL && flags !== LEAF)
    throw legacyDamage(path, `flags ${flags} say neither leaf nor internal node`);
  if (flags === INTERNAL && valueSize !== CHILD_BYTES)
    throw legacyDamage(path, `an internal node with values of ${valueSize} bytes is not possible`);
  if (HEADER_BYTES + capacity * (KEY_BYTES + valueSize) > METADATA_BLOCK)
    throw legacyDamage(path, `${capacity} entries of ${valueSize} bytes do not fit into it`);
  // As the kernel makes every node, and thin_check asks.
  if (capacity % 3 !== 0) throw legacyDamage(path, `room for ${capacity} entries is not divisible by 3`);
  if (count > capacity) throw legacyDamage(path, `it claims ${count} entries and has room for ${capacity}`);
  if (flags === INTERNAL && count === 0) throw legacyDamage(path, 'an internal node without entries');
  return new LegacyNode({
    block,
    isLeaf: flags === LEAF,
    valueSize,
    keys: unpackKeys(bytes, into?.subarray(0, count) ?? new Float64Array(count), path),
    bytes,
    valuesAt: HEADER_BYTES + capacity * KEY_BYTES,
  });
}

function unpackKeys(bytes: Buffer, keys: Float64Array, path: string): Float64Array {
  const view = viewOf(bytes);
  let last = -1;
  for (let index = 0, at = HEADER_BYTES; index < keys.length; index++, at += KEY_BYTES) {
    const high = view.getUint32(at + 4, true);
    if (high >= MAX_HIGH)
      throw legacyDamage(path, `key ${bytes.readBigUInt64LE(at)} is too large to be true`);
    const key = high * 2 ** 32 + view.getUint32(at, true);
    if (key <= last) throw legacyDamage(path, `key ${key} comes behind ${last}`);
    keys[index] = last = key;
  }
  return keys;
}

/** Faster than the methods of Buffer where there are millions of reads. */
function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
