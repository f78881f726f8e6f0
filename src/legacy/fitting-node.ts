import { legacyDamage } from './legacy-damage.js';
import type { NodeReader } from './node-reader.js';
import type { LegacyNode } from './tree-node.js';

/** Nodes above one another in a tree of 2^64 keys whose nodes have but two children. */
const MAX_DEPTH = 64;

/** What the way to a node says of its keys. */
export interface Bounds {
  readonly low: number;
  /** Exclusive. */
  readonly high: number;
  readonly depth: number;
}

/** Of a node, in messages. `where`: what the tree is, such as `device 3`. */
export function pathOfNode(where: string, block: number): string {
  return `${where} / node block ${block}`;
}

/**
 * A node that fits where it was found: so a tree that leads back into itself is seen to, and any walk ends.
 * Errors: damaged.
 */
export function fittingNode(
  nodes: NodeReader,
  block: number,
  { low, high, depth }: Bounds,
  tree: {
    readonly valueSize: number;
    readonly where: string;
    /** Default: `keep`. */
    readonly leaves?: 'keep' | 'pass';
  },
): LegacyNode {
  const { valueSize, where, leaves } = tree;
  const path = pathOfNode(where, block);
  if (depth > MAX_DEPTH) throw legacyDamage(path, `it lies deeper than any tree goes`);
  const node = nodes.node(block, path, leaves);
  if (node.isLeaf && node.valueSize !== valueSize)
    throw legacyDamage(path, `its values have ${node.valueSize} bytes where ${valueSize} belong`);
  const first = node.keys[0];
  if (first === undefined) {
    if (depth > 0) throw legacyDamage(path, 'it has no entries');
    return node;
  }
  if (first < low || node.keys[node.count - 1]! >= high)
    throw legacyDamage(
      path,
      `its keys ${first} to ${node.keys[node.count - 1]} do not belong between ${low} and ${high}`,
    );
  return node;
}
