import { ThinError } from '../errors/thin-error.js';
import { damage } from '../format/damage.js';
import type { NodeId } from '../format/ids.js';
import { describeKey, nodeKey } from '../format/keys.js';
import type { TreeNode } from '../format/node.js';
import type { NodeReader } from './node-source.js';

const KEYS = 2 ** 32;

/** What a walk meets, in ascending order, each node before what is below it. */
export interface TreeVisitor {
  /**
   * Once for each reference to a node. Returns whether to go on below it: no, for example, where another tree led here already.
   */
  node(node: TreeNode): boolean;
  /**
   * A node that cannot be read or does not belong where it hangs. The walk goes on beside it: with it go the keys from `from` up to
   * and without `to`.
   */
  damaged(id: NodeId, error: ThinError, from: number, to: number): void;
}

/**
 * Visits a whole tree and checks what holds it together: levels fall by one, each node's keys lie between its parent's, and none but
 * a root is empty. @throws whatever the source throws but `damaged` and `wrong-version`
 */
export function walk(source: NodeReader, root: NodeId, visitor: TreeVisitor): void {
  walkBelow(source, root, visitor, undefined, 0, KEYS);
}

function walkBelow(
  source: NodeReader,
  id: NodeId,
  visitor: TreeVisitor,
  level: number | undefined,
  from: number,
  to: number,
): void {
  const node = readPlaced(source, id, level, from, to, visitor.damaged.bind(visitor));
  if (node === undefined || !visitor.node(node) || node.isLeaf) return;
  for (let i = 0; i < node.count; i++) {
    const next = i + 1 < node.count ? node.keys[i + 1]! : to;
    walkBelow(source, node.child(i), visitor, node.level - 1, node.keys[i]!, next);
  }
}

/** The leaves of a tree, ascending, read as they are asked for. `damaged` as in `TreeVisitor`; what it throws ends the walk. */
export function* leaves(
  source: NodeReader,
  root: NodeId,
  damaged: TreeVisitor['damaged'],
): Generator<TreeNode> {
  yield* leavesBelow(source, root, damaged, undefined, 0, KEYS);
}

function* leavesBelow(
  source: NodeReader,
  id: NodeId,
  damaged: TreeVisitor['damaged'],
  level: number | undefined,
  from: number,
  to: number,
): Generator<TreeNode> {
  const node = readPlaced(source, id, level, from, to, damaged);
  if (node === undefined) return;
  if (node.isLeaf) {
    yield node;
    return;
  }
  for (let i = 0; i < node.count; i++) {
    const next = i + 1 < node.count ? node.keys[i + 1]! : to;
    yield* leavesBelow(source, node.child(i), damaged, node.level - 1, node.keys[i]!, next);
  }
}

/** Reads a node where one of this level and these keys belongs. */
function readPlaced(
  source: NodeReader,
  id: NodeId,
  level: number | undefined,
  from: number,
  to: number,
  damaged: TreeVisitor['damaged'],
): TreeNode | undefined {
  try {
    const node = source.read(id);
    const problem = misplacement(node, level, from, to);
    if (problem !== undefined) throw damage(describeKey(nodeKey(id)), problem);
    return node;
  } catch (error) {
    if (!(error instanceof ThinError) || (error.code !== 'damaged' && error.code !== 'wrong-version'))
      throw error;
    damaged(id, error, from, to);
    return undefined;
  }
}

function misplacement(
  node: TreeNode,
  level: number | undefined,
  from: number,
  to: number,
): string | undefined {
  if (level !== undefined && node.level !== level)
    return `it has level ${String(node.level)} where ${String(level)} belongs`;
  if (node.count === 0)
    return level === undefined && node.isLeaf ? undefined : 'it is empty and not the root of its tree';
  if (node.keys[0]! < from || node.keys[node.count - 1]! >= to)
    return `its keys leave the range from ${String(from)} to ${String(to - 1)} that it hangs in`;
  return undefined;
}
