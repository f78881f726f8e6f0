import { ThinError } from '../errors/thin-error.js';
import type { NodeId } from '../format/ids.js';
import { describeKey, nodeKey } from '../format/keys.js';
import { unpackNode, type NodeLimits, type TreeNode } from '../format/node.js';
import { unseal } from '../format/seal.js';

/**
 * A node from the value that the store has under its key. @throws ThinError damaged (no value, another
 * node's), wrong-version
 */
export function unpackStoredNode(id: NodeId, value: Uint8Array | undefined, limits: NodeLimits): TreeNode {
  const path = describeKey(nodeKey(id));
  if (value === undefined) throw new ThinError('damaged', `${path}: missing`);
  return unpackNode(id, unseal('node', id, value, path), limits, path);
}
