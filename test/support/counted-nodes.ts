import assert from 'node:assert/strict';
import { entries } from '../../src/btree/mapping-tree.js';
import type { NodeSource } from '../../src/btree/node-source.js';
import { nodeId, type NodeId } from '../../src/format/ids.js';
import { packNode, TreeNode, unpackNode, type NodeLimits } from '../../src/format/node.js';
import { seal, unseal } from '../../src/format/seal.js';

/**
 * Nodes in memory with their reference counts, and counts of what leaves hold in lane `a`, as a pool counts
 * chunks. `store` turns all nodes into bytes, so that what is read next comes from those.
 */
export class CountedNodes implements NodeSource {
  readonly limits: NodeLimits;
  readonly nodes = new Map<NodeId, TreeNode>();
  readonly stored = new Map<NodeId, Uint8Array>();
  readonly references = new Map<NodeId, number>();
  readonly values = new Map<number, number>();
  reads = 0;
  #next = 1;

  constructor(limits: NodeLimits) {
    this.limits = limits;
  }

  read(id: NodeId): TreeNode {
    this.reads++;
    const node = this.nodes.get(id);
    if (node !== undefined) return node;
    const bytes = this.stored.get(id);
    assert(bytes !== undefined, `node ${id} is read but not there`);
    const path = `node ${id}`;
    const loaded = unpackNode(id, unseal('node', id, bytes, path), this.limits, path);
    this.nodes.set(id, loaded);
    return loaded;
  }

  create(level: number): TreeNode {
    const node = new TreeNode(nodeId(this.#next++), level, this.limits);
    this.nodes.set(node.id, node);
    this.references.set(node.id, 1);
    return node;
  }

  shadow(id: NodeId): TreeNode {
    const node = this.read(id);
    if (!this.isShared(id)) return node;
    const copy = this.create(node.level);
    copy.copyContents(node);
    for (let i = 0; i < node.count; i++) {
      if (node.isLeaf) this.hold(node.a[i]!);
      else this.share(node.child(i));
    }
    this.references.set(id, this.#count(id) - 1);
    return copy;
  }

  free(node: TreeNode): void {
    assert.equal(this.#count(node.id), 1, `node ${node.id} is freed but shared`);
    this.#forget(node.id);
  }

  isShared(id: NodeId): boolean {
    return this.#count(id) > 1;
  }

  share(id: NodeId): void {
    this.references.set(id, this.#count(id) + 1);
  }

  /** Drops one reference to a tree, and whatever hangs on it alone. */
  release(id: NodeId): void {
    const left = this.#count(id) - 1;
    if (left > 0) {
      this.references.set(id, left);
      return;
    }
    const node = this.read(id);
    for (let i = 0; i < node.count; i++) {
      if (node.isLeaf) this.drop(node.a[i]!);
      else this.release(node.child(i));
    }
    this.#forget(id);
  }

  hold(value: number): void {
    this.values.set(value, (this.values.get(value) ?? 0) + 1);
  }

  drop(value: number): void {
    const left = (this.values.get(value) ?? 0) - 1;
    assert(left >= 0, `value ${value} is dropped more often than held`);
    if (left === 0) this.values.delete(value);
    else this.values.set(value, left);
  }

  store(): void {
    for (const [id, node] of this.nodes) this.stored.set(id, seal('node', id, packNode(node)));
    this.nodes.clear();
  }

  #count(id: NodeId): number {
    const count = this.references.get(id);
    assert(count !== undefined, `node ${id} is used but free`);
    return count;
  }

  #forget(id: NodeId): void {
    this.references.delete(id);
    this.nodes.delete(id);
    this.stored.delete(id);
  }
}

/**
 * Holds for any set of trees whatever was done to them: each node has the references that a walk from all
 * roots finds and none is left over; so have the values; levels, key ranges and fill are as they must be.
 */
export function assertSound(source: CountedNodes, roots: readonly NodeId[]): void {
  const references = new Map<NodeId, number>();
  const values = new Map<number, number>();
  /** A recursion of its own, so that a walk that is wrong does not find itself right. */
  function countBelow(node: TreeNode, level: number | undefined, from: number, to: number): void {
    const seen = references.get(node.id) ?? 0;
    references.set(node.id, seen + 1);
    if (seen > 0) return;
    assert(level === undefined || node.level === level, `node ${node.id} has the level of its place`);
    assert(node.count > 0 || (level === undefined && node.isLeaf), `node ${node.id} is not empty`);
    for (let i = 0; i < node.count; i++) {
      const [key, next] = [node.keys[i]!, i + 1 < node.count ? node.keys[i + 1]! : to];
      assert(key >= from && key < next && next <= to, `node ${node.id} holds the keys of its place`);
      if (node.isLeaf) values.set(node.a[i]!, (values.get(node.a[i]!) ?? 0) + 1);
      else countBelow(source.read(node.child(i)), node.level - 1, key, next);
    }
    if (!node.isLeaf) assertFill(source, node);
  }
  for (const root of roots) countBelow(source.read(root), undefined, 0, 2 ** 32);
  assert.deepEqual(sorted(references), sorted(source.references), 'references to nodes');
  assert.deepEqual(sorted(values), sorted(source.values), 'references to values');
  for (const root of roots) {
    const top = source.read(root);
    assert(top.isLeaf || top.count >= 2, `root ${root} has one child`);
  }
}

/** Two neighbours hold more than one of them must: a tree is never many thin nodes. */
function assertFill(source: CountedNodes, parent: TreeNode): void {
  for (let i = 1; i < parent.count; i++) {
    const left = source.read(parent.child(i - 1));
    const right = source.read(parent.child(i));
    const least = Math.floor(left.capacity / 3);
    assert(
      left.count + right.count > least,
      `nodes ${left.id} and ${right.id}: ${left.count} + ${right.count}`,
    );
  }
}

export function contents(
  source: NodeSource,
  root: NodeId,
  from = 0,
  to = 2 ** 32,
): [number, number, number][] {
  return Array.from(entries(source, root, from, to), ({ key, a, b }) => [key, a, b]);
}

function sorted<K extends number>(counts: ReadonlyMap<K, number>): [K, number][] {
  return [...counts].sort(([a], [b]) => a - b);
}
