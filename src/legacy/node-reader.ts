import { LRUCache } from 'lru-cache';
import type { BlockReader } from './block-reader.js';
import { legacyDamage } from './legacy-damage.js';
import { METADATA_BLOCK } from './disk-block.js';
import { MAX_ENTRIES, unpackTreeNode, type LegacyNode } from './tree-node.js';

/** About 6 KiB each in memory: 6 MiB, whatever the size of the metadata. */
const CACHED_NODES = 1024;

/** Verified nodes; those that were used last are in memory. */
export class NodeReader {
  readonly #blocks: BlockReader;
  readonly #cache: LRUCache<number, LegacyNode>;
  /** Of the leaf that is passed: millions of them would wait to be collected. */
  readonly #passing = { bytes: Buffer.alloc(METADATA_BLOCK), keys: new Float64Array(MAX_ENTRIES) };

  constructor(blocks: BlockReader, cachedNodes = CACHED_NODES) {
    this.#blocks = blocks;
    this.#cache = new LRUCache({ max: cachedNodes });
  }

  /**
   * `path`: where the caller stands, for messages. `leaves`: `pass` where each is read once; a leaf is then
   * good until the next node is asked for. Errors: damaged.
   */
  node(block: number, path: string, leaves: 'keep' | 'pass' = 'keep'): LegacyNode {
    const known = this.#cache.get(block);
    if (known !== undefined) return known;
    if (block === 0 || block >= this.#blocks.blocks)
      throw legacyDamage(path, `the metadata has no such block (it has ${this.#blocks.blocks})`);
    if (leaves === 'pass') {
      const { bytes, keys } = this.#passing;
      const passing = unpackTreeNode(block, this.#blocks.read(block, bytes), path, keys);
      if (passing.isLeaf) return passing;
    }
    const node = unpackTreeNode(block, this.#blocks.read(block), path);
    this.#cache.set(block, node);
    return node;
  }

  /** For blocks that are no nodes. */
  get blocks(): BlockReader {
    return this.#blocks;
  }
}
