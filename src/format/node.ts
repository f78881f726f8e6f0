import assert from 'node:assert/strict';
import { damage } from './damage.js';
import { nodeId, type NodeId } from './ids.js';
import { SEAL_BYTES } from './seal.js';

const NODE_BYTES = 4096;
const HEADER_BYTES = 8;
const LEAF_ENTRY_BYTES = 12;
const CHILD_ENTRY_BYTES = 8;
const MIN_CAPACITY = 4;
/** A tree of 2^32 keys over nodes of two entries is no higher. */
const MAX_LEVEL = 32;

/**
 * The most entries a node takes; at least 4. Full nodes are split on the way down to a change, also where
 * nothing is added in the end: halves of 1 and 2 would be full again after one split below them, and a tree
 * could grow higher without growing.
 */
export interface NodeLimits {
  readonly leaf: number;
  readonly internal: number;
}

/** What fits into 4096 sealed bytes: 339 mappings, 509 children. */
export const FULL_NODE: NodeLimits = {
  leaf: Math.floor((NODE_BYTES - SEAL_BYTES - HEADER_BYTES) / LEAF_ENTRY_BYTES),
  internal: Math.floor((NODE_BYTES - SEAL_BYTES - HEADER_BYTES) / CHILD_ENTRY_BYTES),
};

/**
 * A node in memory. Keys are u32 and ascend strictly. A leaf (level 0) has a value of two u32 lanes for each
 * key, `a` and `b`, which the tree does not interpret; an internal node has a child in `a`, whose keys are
 * all at least the entry's key.
 */
export class TreeNode {
  readonly id: NodeId;
  readonly level: number;
  count = 0;
  readonly keys: Uint32Array;
  readonly a: Uint32Array;
  readonly b: Uint32Array;

  constructor(id: NodeId, level: number, limits: NodeLimits) {
    const capacity = level === 0 ? limits.leaf : limits.internal;
    assert(capacity >= MIN_CAPACITY, `a node takes ${MIN_CAPACITY} entries at least`);
    this.id = id;
    this.level = level;
    this.keys = new Uint32Array(capacity);
    this.a = new Uint32Array(capacity);
    this.b = new Uint32Array(level === 0 ? capacity : 0);
  }

  get isLeaf(): boolean {
    return this.level === 0;
  }

  get capacity(): number {
    return this.keys.length;
  }

  child(index: number): NodeId {
    return nodeId(this.a[index]!);
  }

  /** Place of the last key ≤ `key`, -1 where there is none. */
  floor(key: number): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.keys[middle]! <= key) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  insertAt(index: number, key: number, a: number, b: number): void {
    assert(this.count < this.capacity, 'a full node takes no entry');
    for (const lane of this.#lanes()) lane.copyWithin(index + 1, index, this.count);
    this.keys[index] = key;
    this.a[index] = a;
    if (this.isLeaf) this.b[index] = b;
    this.count++;
  }

  removeAt(index: number): void {
    for (const lane of this.#lanes()) lane.copyWithin(index, index + 1, this.count);
    this.count--;
  }

  /** Moves `length` entries from `from` at `start` to the place `at` here. */
  takeFrom(from: TreeNode, start: number, length: number, at: number): void {
    const theirs = from.#lanes();
    for (const [i, lane] of this.#lanes().entries()) {
      lane.copyWithin(at + length, at, this.count);
      lane.set(theirs[i]!.subarray(start, start + length), at);
      theirs[i]!.copyWithin(start, start + length, from.count);
    }
    this.count += length;
    from.count -= length;
  }

  copyContents(from: TreeNode): void {
    const theirs = from.#lanes();
    for (const [i, lane] of this.#lanes().entries()) lane.set(theirs[i]!.subarray(0, from.count));
    this.count = from.count;
  }

  #lanes(): readonly Uint32Array[] {
    return this.isLeaf ? [this.keys, this.a, this.b] : [this.keys, this.a];
  }
}

/**
 * node   := level:u8 zero:u8 count:u16 zero:u32 keys values
 * keys   := key:u32 × count
 * values := (level 0) a:u32 × count b:u32 × count | child:u32 × count
 *
 * Little-endian; the body of a sealed value. As dm-thin's btree node (dm-btree-internal.h), but no longer
 * than its entries need.
 */
export function packNode(node: TreeNode): Uint8Array {
  const entry = node.isLeaf ? LEAF_ENTRY_BYTES : CHILD_ENTRY_BYTES;
  const bytes = new Uint8Array(HEADER_BYTES + node.count * entry);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, node.level);
  view.setUint16(2, node.count, true);
  let at = HEADER_BYTES;
  for (const lane of node.isLeaf ? [node.keys, node.a, node.b] : [node.keys, node.a])
    for (let i = 0; i < node.count; i++, at += 4) view.setUint32(at, lane[i]!, true);
  return bytes;
}

/**
 * Takes only what a tree writes: an internal node has a child at least, and the bytes without a meaning are
 * zero.
 * @throws ThinError damaged, naming `path`
 */
export function unpackNode(id: NodeId, body: Uint8Array, limits: NodeLimits, path: string): TreeNode {
  if (body.length < HEADER_BYTES) throw damage(path, `it is cut off at ${body.length} bytes`);
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const level = view.getUint8(0);
  const count = view.getUint16(2, true);
  if (level > MAX_LEVEL) throw damage(path, `level ${level} is higher than a tree can be`);
  if (view.getUint8(1) !== 0 || view.getUint32(4, true) !== 0)
    throw damage(path, 'unknown bits are set in its header');
  const node = new TreeNode(id, level, limits);
  if (count > node.capacity)
    throw damage(path, `${count} entries are more than the ${node.capacity} that a node takes`);
  if (count === 0 && level > 0) throw damage(path, 'it is an internal node without a child');
  const lanes = level === 0 ? [node.keys, node.a, node.b] : [node.keys, node.a];
  if (body.length !== HEADER_BYTES + count * lanes.length * 4)
    throw damage(path, `${count} entries do not fill ${body.length} bytes`);
  let at = HEADER_BYTES;
  for (const lane of lanes) for (let i = 0; i < count; i++, at += 4) lane[i] = view.getUint32(at, true);
  for (let i = 1; i < count; i++)
    if (node.keys[i]! <= node.keys[i - 1]!) throw damage(path, `key ${i} is out of order`);
  node.count = count;
  return node;
}
