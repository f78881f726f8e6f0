import { ThinError } from '../errors/thin-error.js';
import { fittingNode, pathOfNode, type Bounds } from './fitting-node.js';
import { pathOf, problemOf } from './legacy-damage.js';
import type { NodeReader } from './node-reader.js';
import type { LegacyNode } from './tree-node.js';

/** Keys [begin, end) that cannot be known, because what leads to them is damaged. `end` may be Infinity. */
export interface LostRange {
  readonly begin: number;
  readonly end: number;
  readonly path: string;
  readonly problem: string;
}

/** Entries [first, end) of a leaf. */
export interface LeafSlice {
  readonly node: LegacyNode;
  readonly first: number;
  readonly end: number;
}

export interface WalkOptions {
  /** Keys in [from, to); all unless given. */
  readonly from?: number;
  readonly to?: number;
  /** Told of what cannot be read, and the walk goes on behind it; without it, damage ends the walk. */
  readonly onLost?: ((lost: LostRange) => void) | undefined;
  /** Subtrees for whose block this is true are left out, unread. */
  readonly skip?: (block: number) => boolean;
}

/** One of dm-thin's B-trees, read only (drivers/md/persistent-data/dm-btree.c). Nothing in it is trusted. */
export class LegacyTree {
  readonly #nodes: NodeReader;
  readonly #root: number;
  readonly #valueSize: number;
  readonly #where: string;

  /** `where`: what the tree is in paths, such as `device 3`. */
  constructor(
    nodes: NodeReader,
    root: number,
    options: { readonly valueSize: number; readonly where: string },
  ) {
    this.#nodes = nodes;
    this.#root = root;
    this.#valueSize = options.valueSize;
    this.#where = options.where;
  }

  get root(): number {
    return this.#root;
  }

  /** Of a node, in messages. */
  pathOf(block: number): string {
    return pathOfNode(this.#where, block);
  }

  /** Ascending. Errors without `onLost`: damaged. */
  *leaves(options: WalkOptions = {}): Generator<LeafSlice> {
    const { from = 0, to = Infinity } = options;
    if (from < to)
      yield* this.#walk(this.#root, { low: 0, high: Infinity, depth: 0 }, { ...options, from, to });
  }

  /** The value of exactly this key. Errors: damaged. */
  lookup(key: number): Buffer | undefined {
    for (const { node, first } of this.leaves({ from: key, to: key + 1 })) return node.value(first);
    return undefined;
  }

  /** Undefined in an empty tree. Errors: damaged. */
  lastKey(): number | undefined {
    let low = 0;
    let block = this.#root;
    for (let depth = 0; ; depth++) {
      const node = this.#load(block, { low, high: Infinity, depth });
      const last = node.keys[node.count - 1];
      if (node.isLeaf || last === undefined) return last;
      low = last;
      block = node.child(node.count - 1, this.pathOf(block));
    }
  }

  /** Levels above the leaves, on the way to the first key. Errors: damaged. */
  height(): number {
    let block = this.#root;
    for (let depth = 0; ; depth++) {
      const node = this.#load(block, { low: 0, high: Infinity, depth });
      if (node.isLeaf) return depth;
      block = node.child(0, this.pathOf(block));
    }
  }

  /** Blocks of its nodes, the leaves unread; not all of them where it is damaged. */
  blocks(): ReadonlySet<number> {
    const found = new Set<number>();
    try {
      this.#collect(this.#root, this.height(), found);
    } catch (error) {
      if (!(error instanceof ThinError) || error.code !== 'damaged') throw error;
    }
    return found;
  }

  #collect(block: number, height: number, found: Set<number>): void {
    if (found.has(block)) return;
    found.add(block);
    if (height === 0) return;
    const path = this.pathOf(block);
    const node = this.#nodes.node(block, path);
    if (node.isLeaf) return;
    for (let index = 0; index < node.count; index++)
      this.#collect(node.child(index, path), height - 1, found);
  }

  *#walk(
    block: number,
    bounds: Bounds,
    options: WalkOptions & { readonly from: number; readonly to: number },
  ): Generator<LeafSlice> {
    if (options.skip?.(block) === true) return;
    let node: LegacyNode;
    try {
      node = this.#load(block, bounds);
    } catch (error) {
      if (options.onLost === undefined || !(error instanceof ThinError) || error.code !== 'damaged')
        throw error;
      const begin = Math.max(bounds.low, options.from);
      const end = Math.min(bounds.high, options.to);
      options.onLost({ begin, end, path: pathOf(error), problem: problemOf(error) });
      return;
    }
    if (node.isLeaf) {
      const first = node.ceiling(options.from);
      const end = options.to === Infinity ? node.count : node.ceiling(options.to);
      if (first < end) yield { node, first, end };
      return;
    }
    for (let index = Math.max(0, node.floor(options.from)); index < node.count; index++) {
      const low = node.keys[index]!;
      if (low >= options.to) return;
      const high = node.keys[index + 1] ?? bounds.high;
      yield* this.#walkChild(node, index, { low, high, depth: bounds.depth + 1 }, options);
    }
  }

  *#walkChild(
    node: LegacyNode,
    index: number,
    bounds: Bounds,
    options: WalkOptions & { readonly from: number; readonly to: number },
  ): Generator<LeafSlice> {
    let child: number;
    try {
      child = node.child(index, this.pathOf(node.block));
    } catch (error) {
      if (options.onLost === undefined || !(error instanceof ThinError)) throw error;
      options.onLost({ begin: bounds.low, end: bounds.high, path: pathOf(error), problem: problemOf(error) });
      return;
    }
    yield* this.#walk(child, bounds, options);
  }

  #load(block: number, bounds: Bounds): LegacyNode {
    return fittingNode(this.#nodes, block, bounds, { valueSize: this.#valueSize, where: this.#where });
  }
}
