import { LRUCache } from 'lru-cache';
import type { BlockReader } from './block-reader.js';
import { legacyDamage } from './legacy-damage.js';
import { unpackTreeNode, type LegacyNode } from './tree-node.js';

/** About 6 KiB each in memory: 24 MiB, whatever the size of the metadata. */
const CACHED_NODES = 4096;

/** Verified nodes, the ones used last at hand. */
export class NodeReader {
  readonly #blocks: BlockReader;
  readonly #cache: LRUCache<number, LegacyNode>;

  constructor(blocks: BlockReader, cachedNodes = CACHED_NODES) {
    this.#blocks = blocks;
    this.#cache = new LRUCache({ max: cachedNodes });
  }

  /** `path`: of whoever asks. `leaves`: `pass` where each is read once. Errors: damaged. */
  node(block: number, path: string, leaves: 'keep' | 'pass' = 'keep'): LegacyNode {
    const known = this.#cache.get(block);
    if (known !== undefined) return known;
    if (block === 0 || block >= this.#blocks.blocks)
      throw legacyDamage(path, `the metadata has no such block (it has ${this.#blocks.blocks})`);
    const node = unpackTreeNode(block, this.#blocks.read(block), path);
    if (!node.isLeaf || leaves === 'keep') this.#cache.set(block, node);
    return node;
  }

  /** For blocks that are no nodes. */
  get blocks(): BlockReader {
    return this.#blocks;
  }
}
