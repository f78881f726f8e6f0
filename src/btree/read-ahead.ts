import type { NodeId } from '../format/ids.js';
import type { TreeNode } from '../format/node.js';
import type { NodeLoader } from './node-source.js';
import { levelProblem } from './place.js';

export interface AheadSource extends NodeLoader {
  /** The node, where it is in memory. */
  peek(id: NodeId): TreeNode | undefined;
}

/**
 * Reads the nodes with the keys in [from, to) that are not in memory, level by level, while the thread does
 * other work. It keeps nothing of them: they are in the page cache when the tree is read. A node that cannot
 * be read ends it; a reader of the tree gets the error.
 * @returns undefined where all of them are in memory
 */
export function readAhead(
  source: AheadSource,
  root: NodeId,
  from: number,
  to: number,
): Promise<void> | undefined {
  const missing = missingBelow(source, [{ id: root, level: undefined }], from, to);
  return missing.length === 0 ? undefined : load(source, missing, from, to).catch(() => undefined);
}

/** A node, and the level at which it hangs; undefined: it is the root. */
interface Child {
  readonly id: NodeId;
  readonly level: number | undefined;
}

async function load(source: AheadSource, missing: readonly Child[], from: number, to: number): Promise<void> {
  for (let wanted = missing; wanted.length > 0;) {
    const nodes = await Promise.all(wanted.map(({ id }) => source.load(id)));
    const children = nodes.flatMap((node, at) => childrenIn(node, wanted[at]!.level, from, to));
    wanted = missingBelow(source, children, from, to);
  }
}

function missingBelow(source: AheadSource, wanted: readonly Child[], from: number, to: number): Child[] {
  return wanted.flatMap((child) => {
    const node = source.peek(child.id);
    if (node === undefined) return [child];
    return missingBelow(source, childrenIn(node, child.level, from, to), from, to);
  });
}

/** None of a node that hangs at a wrong level: damage could lead in a circle. */
function childrenIn(node: TreeNode, level: number | undefined, from: number, to: number): Child[] {
  const children: Child[] = [];
  if (node.isLeaf || levelProblem(node, level) !== undefined) return children;
  for (let at = 0; at < node.count; at++) {
    const end = at + 1 < node.count ? node.keys[at + 1]! : Infinity;
    if (node.keys[at]! < to && end > from) children.push({ id: node.child(at), level: node.level - 1 });
  }
  return children;
}
