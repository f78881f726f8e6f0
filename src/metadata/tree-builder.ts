import { createHash } from 'node:crypto';
import { ThinError } from '../errors/thin-error.js';
import { nodeId, type NodeId } from '../format/ids.js';
import { nodeKey } from '../format/keys.js';
import { FULL_NODE, packNode, TreeNode, type NodeLimits } from '../format/node.js';
import { seal } from '../format/seal.js';
import type { KvOperation } from '../store/key-value.js';

/**
 * Leaves end where a key crosses a multiple of this, if they are not too empty: so the leaves of relatives
 * begin alike again.
 */
const LEAF_SPAN = 256;

/**
 * Builds mapping trees from mappings in order, from the leaves up, for a pool that is made anew. Nodes that
 * come out alike are one node with several parents: what snapshots had in common they share again, though an
 * XML dump does not say so.
 */
export class TreeBuilder {
  readonly chunkCounts = new Map<number, number>();
  readonly nodeCounts = new Map<number, number>();
  readonly operations: KvOperation[] = [];
  readonly #limits: NodeLimits;
  readonly #maxNodes: number;
  readonly #known = new Map<string, NodeId>();
  /** The node that is being filled at each level. */
  #open: TreeNode[] = [];
  #next = 0;
  #added = 0;
  #lastKey = -1;

  /** @param maxNodes nodes that the pool may have */
  constructor(maxNodes: number, limits: NodeLimits = FULL_NODE) {
    this.#maxNodes = maxNodes;
    this.#limits = limits;
  }

  /** Mappings since the last `finish`. */
  get added(): number {
    return this.#added;
  }

  /**
   * Adds to the tree that is being built. Keys ascend. @throws ThinError no-space, invalid-argument (out of
   * order)
   */
  add(key: number, chunk: number, time: number): void {
    if (key <= this.#lastKey)
      throw new ThinError(
        'invalid-argument',
        `block ${key} is mapped after block ${this.#lastKey}; mappings must ascend and not overlap`,
      );
    const leaf = this.#openAt(0);
    if (this.#isComplete(leaf, key)) this.#close(0);
    const into = this.#openAt(0);
    into.insertAt(into.count, key, chunk, time);
    this.#lastKey = key;
    this.#added++;
  }

  /**
   * Ends the tree: its root, which has one reference more. The next `add` begins another. @throws ThinError
   * no-space
   */
  finish(): NodeId {
    this.#openAt(0);
    // Closing a level may open one more above.
    let top = 0;
    while (top < this.#open.length - 1) this.#close(top++);
    const root = this.#keep(this.#openAt(top));
    this.#refer(this.nodeCounts, root);
    this.#open = [];
    this.#added = 0;
    this.#lastKey = -1;
    return root;
  }

  #isComplete(leaf: TreeNode, key: number): boolean {
    if (leaf.count === leaf.capacity) return true;
    if (leaf.count < leaf.capacity / 3) return false;
    return Math.floor(key / LEAF_SPAN) !== Math.floor(leaf.keys[leaf.count - 1]! / LEAF_SPAN);
  }

  #openAt(level: number): TreeNode {
    return (this.#open[level] ??= this.#fresh(level));
  }

  #fresh(level: number): TreeNode {
    return new TreeNode(nodeId(0), level, this.#limits);
  }

  #close(level: number): void {
    const node = this.#open[level]!;
    const id = this.#keep(node);
    const key = node.keys[0]!;
    this.#open[level] = this.#fresh(level);
    if (this.#openAt(level + 1).count === this.#openAt(level + 1).capacity) this.#close(level + 1);
    const parent = this.#openAt(level + 1);
    parent.insertAt(parent.count, key, id, 0);
  }

  /** The number of a node with these contents: a new one's, or one's that is there. */
  #keep(node: TreeNode): NodeId {
    const body = packNode(node);
    const digest = createHash('sha256').update(body).digest('base64');
    const known = this.#known.get(digest);
    if (known !== undefined) return known;
    if (this.#next >= this.#maxNodes)
      throw new ThinError(
        'no-space',
        `the metadata takes more than the ${this.#maxNodes} nodes that the pool may have; give it a larger metadata size`,
      );
    const id = nodeId(this.#next++);
    this.#known.set(digest, id);
    this.operations.push({ type: 'put', key: nodeKey(id), value: seal('node', id, body) });
    const counts = node.isLeaf ? this.chunkCounts : this.nodeCounts;
    for (let i = 0; i < node.count; i++) this.#refer(counts, node.a[i]!);
    return id;
  }

  #refer(counts: Map<number, number>, entry: number): void {
    counts.set(entry, (counts.get(entry) ?? 0) + 1);
  }
}
