import { damage } from '../format/damage.js';
import { describeKey, nodeKey } from '../format/keys.js';
import type { TreeNode } from '../format/node.js';

/** One past the largest key. */
export const KEYS = 2 ** 32;

/**
 * What holds a tree together, beside each node's own checksum: levels fall by one on every path, a node's
 * keys lie in the range [from, to) that its parent gives it, and none but a root is empty. Damage can
 * therefore not send a search in a circle. `level` is undefined for a root.
 * @throws ThinError damaged
 */
export function requirePlace(node: TreeNode, level: number | undefined, from: number, to: number): void {
  const problem = levelProblem(node, level) ?? keyProblem(node, level, from, to);
  if (problem !== undefined) throw misplaced(node, problem);
}

export function levelProblem(node: TreeNode, level: number | undefined): string | undefined {
  if (level === undefined || node.level === level) return undefined;
  return `it has level ${node.level} where ${level} belongs`;
}

export function keyProblem(
  node: TreeNode,
  level: number | undefined,
  from: number,
  to: number,
): string | undefined {
  if (node.count === 0)
    return level === undefined && node.isLeaf ? undefined : 'it is empty and not the root of its tree';
  const [first, last] = [node.keys[0]!, node.keys[node.count - 1]!];
  if (first >= from && last < to) return undefined;
  return `its keys ${first} to ${last} leave the range from ${from} to ${to - 1} that it hangs in`;
}

export function misplaced(node: TreeNode, problem: string): Error {
  return damage(describeKey(nodeKey(node.id)), problem);
}
