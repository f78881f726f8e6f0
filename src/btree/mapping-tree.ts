import type { NodeId } from '../format/ids.js';
import type { TreeNode } from '../format/node.js';
import type { NodeSource } from './node-source.js';
import { KEYS, requirePlace } from './place.js';

/** A value of two u32 that mean something only to the caller. */
export interface TreeValue {
  readonly a: number;
  readonly b: number;
}

export interface TreeChange {
  readonly root: NodeId;
  /** The previous value of the key. */
  readonly previous: TreeValue | undefined;
}

export function createTree(source: NodeSource): NodeId {
  return source.create(0).id;
}

export function lookup(source: NodeSource, root: NodeId, key: number): TreeValue | undefined {
  let node = source.read(root);
  while (!node.isLeaf) {
    const index = node.floor(key);
    if (index < 0) return undefined;
    node = readChild(source, node, index);
  }
  const index = node.floor(key);
  return index >= 0 && node.keys[index] === key ? valueAt(node, index) : undefined;
}

/**
 * Sets the key. A change takes at most two new nodes a level and one more. A caller that must not fail half
 * way keeps that many free.
 * @throws ThinError damaged, no-space (then the tree may be half changed: give the transaction up)
 */
export function insert(source: NodeSource, root: NodeId, key: number, a: number, b: number): TreeChange {
  let top = source.shadow(root);
  if (mustSplit(top, key)) {
    const above = source.create(top.level + 1);
    above.insertAt(0, top.keys[0]!, top.id, 0);
    splitChild(source, above, 0, top, key);
    top = above;
  }
  let node = top;
  while (!node.isLeaf) {
    let index = node.floor(key);
    if (index < 0) {
      // A new smallest key: the path's left edges must cover it.
      index = 0;
      node.keys[0] = key;
    }
    let child = shadowChild(source, node, index);
    if (mustSplit(child, key)) {
      splitChild(source, node, index, child, key);
      index = Math.max(node.floor(key), 0);
      child = source.read(node.child(index));
    }
    node = child;
  }
  const index = node.floor(key);
  if (index >= 0 && node.keys[index] === key) {
    const previous = valueAt(node, index);
    node.a[index] = a;
    node.b[index] = b;
    return { root: top.id, previous };
  }
  node.insertAt(index + 1, key, a, b);
  return { root: top.id, previous: undefined };
}

/**
 * Removes the key; a key that is not there changes nothing, not even sharing. Takes at most two new nodes a
 * level, for shared ones.
 * @throws ThinError damaged, no-space (then the tree may be half changed: give the transaction up)
 */
export function remove(source: NodeSource, root: NodeId, key: number): TreeChange {
  const found = lookup(source, root, key);
  if (found === undefined) return { root, previous: undefined };
  let top = source.shadow(root);
  let node = top;
  while (!node.isLeaf) {
    const index = node.floor(key);
    const child = shadowChild(source, node, index);
    // Room is made on the way down: a child that can spare an entry never has to look up again.
    const settled =
      child.count <= minimum(child) && node.count > 1 ? refill(source, node, index, child) : child;
    if (node === top && node.count === 1) {
      source.free(node);
      top = settled;
    }
    node = settled;
  }
  node.removeAt(node.floor(key));
  return { root: top.id, previous: found };
}

export interface TreeEntry extends TreeValue {
  readonly key: number;
  /** Some node between the root and here is shared. */
  readonly shared: boolean;
}

/** Ascending entries with `from` ≤ key < `to`. The tree must not change while it is being read. */
export function* entries(source: NodeSource, root: NodeId, from: number, to: number): Generator<TreeEntry> {
  yield* entriesBelow(source, source.read(root), from, to, false);
}

/** The smallest key with `from` ≤ key < `to`, or undefined. */
export function nextKey(source: NodeSource, root: NodeId, from: number, to = Infinity): number | undefined {
  for (const { key } of entries(source, root, from, to)) return key;
  return undefined;
}

/** The first key from `from` on, below `to`, that the tree does not have, or `to`. */
export function nextGap(source: NodeSource, root: NodeId, from: number, to: number): number {
  let next = from;
  for (const { key } of entries(source, root, from, to)) {
    if (key !== next) return next;
    next++;
  }
  return next;
}

/** The largest key, or undefined in an empty tree. */
export function lastKey(source: NodeSource, root: NodeId): number | undefined {
  let node = source.read(root);
  while (!node.isLeaf) node = readChild(source, node, node.count - 1);
  return node.count === 0 ? undefined : node.keys[node.count - 1];
}

/**
 * Ascending leaves that no other tree refers to, from the first that has a key ≥ `from`. What lies under a
 * shared node is passed over without being read, so the cost follows what the tree does not share. The tree
 * must not change while it is being read.
 */
export function* unsharedLeaves(source: NodeSource, root: NodeId, from: number): Generator<TreeNode> {
  if (!source.isShared(root)) yield* unsharedLeavesBelow(source, source.read(root), from);
}

function* unsharedLeavesBelow(source: NodeSource, node: TreeNode, from: number): Generator<TreeNode> {
  if (node.isLeaf) {
    if (node.count > 0 && node.keys[node.count - 1]! >= from) yield node;
    return;
  }
  for (let index = Math.max(node.floor(from), 0); index < node.count; index++)
    if (!source.isShared(node.child(index)))
      yield* unsharedLeavesBelow(source, readChild(source, node, index), from);
}

function* entriesBelow(
  source: NodeSource,
  node: TreeNode,
  from: number,
  to: number,
  sharedAbove: boolean,
): Generator<TreeEntry> {
  const shared = sharedAbove || source.isShared(node.id);
  for (let index = Math.max(node.floor(from), 0); index < node.count; index++) {
    const key = node.keys[index]!;
    if (key >= to) return;
    if (!node.isLeaf) yield* entriesBelow(source, readChild(source, node, index), from, to, shared);
    else if (key >= from) yield { key, a: node.a[index]!, b: node.b[index]!, shared };
  }
}

function readChild(source: NodeSource, parent: TreeNode, index: number): TreeNode {
  return inPlace(parent, index, source.read(parent.child(index)));
}

function shadowChild(source: NodeSource, parent: TreeNode, index: number): TreeNode {
  const child = inPlace(parent, index, source.shadow(parent.child(index)));
  parent.a[index] = child.id;
  return child;
}

/** Where the last child ends is known further up only. */
function inPlace(parent: TreeNode, index: number, child: TreeNode): TreeNode {
  const to = index + 1 < parent.count ? parent.keys[index + 1]! : KEYS;
  requirePlace(child, parent.level - 1, parent.keys[index]!, to);
  return child;
}

function valueAt(node: TreeNode, index: number): TreeValue {
  return { a: node.a[index]!, b: node.b[index]! };
}

/**
 * A full node takes no entry more; a full leaf that has the key needs none (dm-btree.c,
 * `has_space_for_insert`).
 */
function mustSplit(node: TreeNode, key: number): boolean {
  if (node.count < node.capacity) return false;
  return !node.isLeaf || node.keys[Math.max(node.floor(key), 0)] !== key;
}

/** Entries below which a node is filled up from a sibling before an entry is taken out of it. */
function minimum(node: TreeNode): number {
  return Math.max(1, Math.floor(node.capacity / 3));
}

/** Splits the full `child` at `index` of `parent`, which has room; the new sibling is writable. */
function splitChild(source: NodeSource, parent: TreeNode, index: number, child: TreeNode, key: number): void {
  const right = source.create(child.level);
  // An append leaves the left node full: a device written from front to back takes half the nodes.
  const isAppend = key > child.keys[child.count - 1]! && index === parent.count - 1;
  const keep = isAppend ? child.count - 1 : child.count >>> 1;
  right.takeFrom(child, keep, child.count - keep, 0);
  parent.insertAt(index + 1, right.keys[0]!, right.id, 0);
}

/** Merges `child` with a sibling, or evens the two out; returns the node that now covers the child's keys. */
function refill(source: NodeSource, parent: TreeNode, index: number, child: TreeNode): TreeNode {
  const leftIndex = index > 0 ? index - 1 : index;
  const siblingIndex = index > 0 ? index - 1 : index + 1;
  const sibling = shadowChild(source, parent, siblingIndex);
  const [left, right] = index > 0 ? [sibling, child] : [child, sibling];
  if (left.count + right.count <= left.capacity) {
    left.takeFrom(right, 0, right.count, left.count);
    parent.removeAt(leftIndex + 1);
    source.free(right);
    return left;
  }
  const target = (left.count + right.count) >>> 1;
  if (left.count < target) left.takeFrom(right, 0, target - left.count, left.count);
  else right.takeFrom(left, target, left.count - target, 0);
  parent.keys[leftIndex + 1] = right.keys[0]!;
  return child;
}
