import { ThinError } from '../errors/thin-error.js';
import type { NodeId } from '../format/ids.js';
import type { TreeNode } from '../format/node.js';
import type { NodeLoader } from './node-source.js';
import { keyProblem, KEYS, levelProblem, misplaced } from './place.js';

/** The callbacks of a walk. */
export interface TreeVisitor {
  /**
   * Before a node is loaded, once for each reference to it. False: pass over it and what is below it.
   * Default: true.
   */
  enter?(id: NodeId): boolean;
  /** After all that is below the node. */
  leave?(node: TreeNode): void;
  /**
   * A node that cannot be read or does not belong where it hangs (`requirePlace`). The walk goes on beside
   * it: with it go the keys from `from` up to and without `to`.
   */
  damaged(id: NodeId, error: ThinError, from: number, to: number): void;
  /**
   * A node whose keys are outside of [from, to). True: the walk visits it all the same. Default: it is
   * `damaged`.
   */
  stray?(node: TreeNode, from: number, to: number): boolean;
}

/** A node with the entry that the walk takes next, and where the node's last child ends. */
interface Step {
  readonly node: TreeNode;
  next: number;
  readonly to: number;
}

/**
 * The nodes of a tree, each before what is below it and in ascending order of keys, loaded one by one as they
 * are asked for; the tree must not change meanwhile. What `visitor.damaged` throws ends the walk.
 * @param end one past the largest key that the tree may have
 * @throws whatever the source throws but `damaged` and `wrong-version`
 */
export async function* walk(
  source: NodeLoader,
  root: NodeId,
  visitor: TreeVisitor,
  end = KEYS,
): AsyncGenerator<TreeNode> {
  const path: Step[] = [];
  let id: NodeId | undefined = root;
  let [level, from, to]: [number | undefined, number, number] = [undefined, 0, end];
  while (id !== undefined) {
    const node = await load(source, visitor, id, level, from, to);
    if (node !== undefined) {
      yield node;
      path.push({ node, next: 0, to });
    }
    id = undefined;
    for (let top = path.at(-1); top !== undefined && id === undefined; top = path.at(-1)) {
      const above = top.node;
      if (above.isLeaf || top.next === above.count) {
        path.pop();
        visitor.leave?.(above);
        continue;
      }
      const index = top.next++;
      id = above.child(index);
      [level, from] = [above.level - 1, above.keys[index]!];
      to = index + 1 < above.count ? above.keys[index + 1]! : top.to;
    }
  }
}

/** The leaves of a tree, ascending. `damaged` as in `TreeVisitor`; without it, damage ends the walk. */
export async function* leaves(
  source: NodeLoader,
  root: NodeId,
  damaged: TreeVisitor['damaged'] = refuse,
): AsyncGenerator<TreeNode> {
  for await (const node of walk(source, root, { damaged })) if (node.isLeaf) yield node;
}

/** A visitor's `damaged` that ends the walk. */
export function refuse(_id: NodeId, error: ThinError): never {
  throw error;
}

async function load(
  source: NodeLoader,
  visitor: TreeVisitor,
  id: NodeId,
  level: number | undefined,
  from: number,
  to: number,
): Promise<TreeNode | undefined> {
  if (visitor.enter?.(id) === false) return undefined;
  try {
    const node = await source.load(id);
    const wrongLevel = levelProblem(node, level);
    if (wrongLevel !== undefined) throw misplaced(node, wrongLevel);
    const wrongKeys = keyProblem(node, level, from, to);
    if (wrongKeys !== undefined && visitor.stray?.(node, from, to) !== true) throw misplaced(node, wrongKeys);
    return node;
  } catch (error) {
    if (!(error instanceof ThinError) || (error.code !== 'damaged' && error.code !== 'wrong-version'))
      throw error;
    visitor.damaged(id, error, from, to);
    return undefined;
  }
}
