import type { NodeId } from '../format/ids.js';
import type { TreeNode } from '../format/node.js';

/** Nodes of a tree that does not change, to be looked at without holding up the thread. */
export interface NodeLoader {
  /** Not to be changed. Errors: damaged, wrong-version, and the store's. */
  load(id: NodeId): Promise<TreeNode>;
}

/**
 * Where a tree's nodes live, and who counts the references to them: one open transaction
 * (metadata/node-table.ts).
 */
export interface NodeSource {
  /** Not to be changed. @throws ThinError damaged */
  read(id: NodeId): TreeNode;
  /** A new, empty node with one reference. @throws ThinError no-space */
  create(level: number): TreeNode;
  /**
   * The node, ready to be changed: itself where nothing else refers to it, otherwise a copy under a new id.
   * Then everything the copy points at has one reference more, and the original one less
   * (dm-transaction-manager.c, `dm_tm_shadow_block`).
   * @throws ThinError damaged, no-space
   */
  shadow(id: NodeId): TreeNode;
  /**
   * Drops a node that left its tree and whose entries were moved elsewhere. It has one reference, and was
   * shadowed.
   */
  free(node: TreeNode): void;
  /** More than one parent, or root, refers to it. */
  isShared(id: NodeId): boolean;
}
