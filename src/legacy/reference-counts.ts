import { ThinError } from '../errors/thin-error.js';
import type { LegacyPool } from './legacy-pool.js';
import { dataBlockOf } from './mapping-value.js';
import { unpackSuperblock } from './superblock.js';
import type { LegacyNode } from './tree-node.js';

const SATURATED = 255;
/** Data blocks that are counted in one walk: a byte each. */
const WINDOW = 2 ** 26;

type ValueKind = 'device roots' | 'mappings' | 'bitmaps' | 'none';

/** How many there are of each, of numbers below a limit; small where the counts are. */
export class Counts {
  readonly #small: Uint8Array;
  readonly #large = new Map<number, number>();
  readonly #first: number;

  constructor(first: number, length: number) {
    this.#first = first;
    this.#small = new Uint8Array(length);
  }

  /** Returns the count of before. Numbers outside are not counted. */
  add(value: number): number {
    const at = value - this.#first;
    const before = this.#small[at];
    if (before === undefined) return 0;
    if (before < SATURATED) this.#small[at] = before + 1;
    else this.#large.set(value, (this.#large.get(value) ?? SATURATED) + 1);
    return before;
  }

  of(value: number): number {
    return this.#large.get(value) ?? this.#small[value - this.#first] ?? 0;
  }
}

/**
 * Counts what refers to each block, as the space maps ought to: a node that several trees share counts for
 * each that leads to it, and what it refers to once. `undefined` as soon as something is damaged, because
 * then nothing can be said.
 */
export class ReferenceCounter {
  readonly #pool: LegacyPool;
  /** Blocks of metadata that hold bitmaps of the metadata's own space map, and its index. */
  readonly #own: readonly number[];

  constructor(pool: LegacyPool, own: readonly number[]) {
    this.#pool = pool;
    this.#own = own;
  }

  metadata(): Counts | undefined {
    return this.#walk(new Counts(0, 0));
  }

  /** In windows, so that memory does not grow with the pool. */
  *data(): Generator<{ readonly first: number; readonly end: number; readonly counts: Counts } | undefined> {
    const blocks = this.#pool.dataBlocks;
    for (let first = 0; first < blocks; first += WINDOW) {
      const counts = new Counts(first, Math.min(WINDOW, blocks - first));
      yield this.#walk(counts) === undefined
        ? undefined
        : { first, end: Math.min(blocks, first + WINDOW), counts };
    }
  }

  #walk(data: Counts): Counts | undefined {
    const { superblock, nodes } = this.#pool;
    const metadata = new Counts(0, nodes.blocks.blocks);
    try {
      metadata.add(0);
      this.#tree(superblock.mappingRoot, 'device roots', metadata, data);
      this.#tree(superblock.detailsRoot, 'none', metadata, data);
      if (superblock.heldRoot !== 0) {
        metadata.add(superblock.heldRoot);
        const held = unpackSuperblock(superblock.heldRoot, nodes.blocks.read(superblock.heldRoot), 'held');
        this.#tree(held.mappingRoot, 'device roots', metadata, data);
        this.#tree(held.detailsRoot, 'none', metadata, data);
      }
      this.#tree(superblock.dataSpaceMap.bitmapRoot, 'bitmaps', metadata, data);
      this.#tree(superblock.dataSpaceMap.refCountRoot, 'none', metadata, data);
      this.#tree(superblock.metadataSpaceMap.refCountRoot, 'none', metadata, data);
      for (const block of this.#own) metadata.add(block);
    } catch (error) {
      if (error instanceof ThinError) return undefined;
      throw error;
    }
    return metadata;
  }

  #tree(block: number, values: ValueKind, metadata: Counts, data: Counts): void {
    if (metadata.add(block) > 0) return;
    const node = this.#pool.nodes.node(block, 'tree');
    if (!node.isLeaf) {
      for (let index = 0; index < node.count; index++)
        this.#tree(node.child(index, 'tree'), values, metadata, data);
      return;
    }
    this.#leaf(node, values, metadata, data);
  }

  #leaf(node: LegacyNode, values: ValueKind, metadata: Counts, data: Counts): void {
    if (values === 'none') return;
    for (let index = 0; index < node.count; index++) {
      if (values === 'mappings') data.add(dataBlockOf(node.low(index), node.high(index)));
      else if (values === 'bitmaps') metadata.add(node.child(index, 'bitmap'));
      else this.#tree(node.child(index, 'device'), 'mappings', metadata, data);
    }
  }
}
