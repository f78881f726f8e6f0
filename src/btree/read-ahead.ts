import type { NodeId } from '../format/ids.js';
import type { TreeNode } from '../format/node.js';
import type { NodeLoader } from './node-source.js';

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
  const missing = missingBelow(source, [root], from, to);
  return missing.length === 0 ? undefined : load(source, missing, from, to).catch(() => undefined);
}

async function load(
  source: AheadSource,
  missing: readonly NodeId[],
  from: number,
  to: number,
): Promise<void> {
  for (let ids = missing; ids.length > 0;) {
    const nodes = await Promise.all(ids.map((id) => source.load(id)));
    const children = nodes.flatMap((node) => childrenIn(node, from, to));
    ids = missingBelow(source, children, from, to);
  }
}

function missingBelow(source: AheadSource, ids: readonly NodeId[], from: number, to: number): NodeId[] {
  return ids.flatMap((id) => {
    const node = source.peek(id);
    return node === undefined ? [id] : missingBelow(source, childrenIn(node, from, to), from, to);
  });
}

function childrenIn(node: TreeNode, from: number, to: number): NodeId[] {
  const children: NodeId[] = [];
  if (node.isLeaf) return children;
  for (let at = 0; at < node.count; at++) {
    const end = at + 1 < node.count ? node.keys[at + 1]! : Infinity;
    if (node.keys[at]! < to && end > from) children.push(node.child(at));
  }
  return children;
}
