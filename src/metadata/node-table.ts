import { LRUCache } from 'lru-cache';
import type { NodeSource } from '../btree/node-source.js';
import type { AheadSource } from '../btree/read-ahead.js';
import { ThinError } from '../errors/thin-error.js';
import { nodeId, type NodeId } from '../format/ids.js';
import { nodeKey } from '../format/keys.js';
import { TreeNode, packNode, type NodeLimits } from '../format/node.js';
import { unpackStoredNode } from './stored-node.js';
import { seal } from '../format/seal.js';
import type { KeyValue, KvOperation } from '../store/key-value.js';
import type { SpaceMap } from './space-map.js';

/**
 * What a commit took out of the node table; `settle` it when the batch is durable, or `undo` it when it
 * failed.
 */
export interface NodeCommit {
  readonly operations: readonly KvOperation[];
  settle(): void;
  undo(): void;
}

/**
 * The nodes of all mapping trees: read through a cache, changed in memory, written by the commit. Nodes that
 * one parent refers to are changed in place, under their own id: LevelDB's batch is atomic, so unlike dm-thin
 * a commit need not move them.
 */
export class NodeTable implements NodeSource, AheadSource {
  readonly #store: KeyValue;
  readonly #space: SpaceMap;
  readonly #chunks: SpaceMap;
  readonly #limits: NodeLimits;
  readonly #clean: LRUCache<NodeId, TreeNode>;
  #dirty = new Map<NodeId, TreeNode>();
  #freed = new Set<NodeId>();
  /** On their way to the store, which does not have them yet. */
  #committing: ReadonlyMap<NodeId, TreeNode> = new Map();

  /** @param cachedNodes clean nodes kept in memory, about 4 KiB each */
  constructor(
    store: KeyValue,
    space: SpaceMap,
    chunks: SpaceMap,
    options: { limits: NodeLimits; cachedNodes: number },
  ) {
    this.#store = store;
    this.#space = space;
    this.#chunks = chunks;
    this.#limits = options.limits;
    this.#clean = new LRUCache({ max: options.cachedNodes });
  }

  get isDirty(): boolean {
    return this.#dirty.size > 0 || this.#freed.size > 0;
  }

  read(id: NodeId): TreeNode {
    return this.peek(id) ?? this.#load(id);
  }

  peek(id: NodeId): TreeNode | undefined {
    return this.#dirty.get(id) ?? this.#committing.get(id) ?? this.#clean.get(id);
  }

  async load(id: NodeId): Promise<TreeNode> {
    return unpackStoredNode(id, await this.#store.get(nodeKey(id)), this.#limits);
  }

  create(level: number): TreeNode {
    const taken = this.#space.take();
    if (taken === undefined)
      throw new ThinError(
        'no-space',
        `the pool's metadata space is used up (${this.#space.limit} nodes); remove devices or create the pool with a larger metadata size`,
      );
    const id = nodeId(taken);
    this.#space.increment(id);
    const node = new TreeNode(id, level, this.#limits);
    this.#freed.delete(id);
    this.#dirty.set(id, node);
    return node;
  }

  shadow(id: NodeId): TreeNode {
    const node = this.read(id);
    if (this.#space.count(id) === 1) {
      this.#dirty.set(id, node);
      return node;
    }
    const copy = this.create(node.level);
    copy.copyContents(node);
    for (let i = 0; i < node.count; i++) {
      if (node.isLeaf) this.#chunks.increment(node.a[i]!);
      else this.#space.increment(node.a[i]!);
    }
    this.#space.decrement(id);
    return copy;
  }

  free(node: TreeNode): void {
    this.#space.decrement(node.id);
    this.#forget(node.id);
  }

  isShared(id: NodeId): boolean {
    return this.#space.count(id) > 1;
  }

  /** One reference more: a snapshot shares a root. */
  share(id: NodeId): void {
    this.#space.increment(id);
  }

  /**
   * Drops one reference to a node. When it was the last, the node goes, its chunks lose a reference each, and
   * its children are returned: each is owed one `release` in turn.
   */
  release(id: NodeId): readonly NodeId[] {
    if (this.#space.count(id) > 1) {
      this.#space.decrement(id);
      return [];
    }
    const node = this.read(id);
    const children: NodeId[] = [];
    for (let i = 0; i < node.count; i++) {
      if (!node.isLeaf) children.push(node.child(i));
      else this.#chunks.decrement(node.a[i]!);
    }
    this.#space.decrement(id);
    this.#forget(id);
    return children;
  }

  collect(): NodeCommit {
    const dirty = this.#dirty;
    const freed = this.#freed;
    const operations: KvOperation[] = [];
    for (const [id, node] of dirty)
      operations.push({ type: 'put', key: nodeKey(id), value: seal('node', id, packNode(node)) });
    for (const id of freed) operations.push({ type: 'del', key: nodeKey(id) });
    this.#committing = dirty;
    this.#dirty = new Map();
    this.#freed = new Set();
    return {
      operations,
      settle: () => {
        for (const [id, node] of dirty) if (!this.#freed.has(id)) this.#clean.set(id, node);
        this.#committing = new Map();
      },
      undo: () => {
        for (const [id, node] of dirty)
          if (!this.#dirty.has(id) && !this.#freed.has(id)) this.#dirty.set(id, node);
        for (const id of freed) if (!this.#dirty.has(id)) this.#freed.add(id);
        this.#committing = new Map();
      },
    };
  }

  #forget(id: NodeId): void {
    this.#dirty.delete(id);
    this.#clean.delete(id);
    this.#freed.add(id);
  }

  #load(id: NodeId): TreeNode {
    const node = unpackStoredNode(id, this.#store.getSync(nodeKey(id)), this.#limits);
    this.#clean.set(id, node);
    return node;
  }
}
