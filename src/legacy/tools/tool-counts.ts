import { Bitmap, BITMAP_ENTRIES } from '../space-map-bitmap.js';
import { INDEX_ENTRY_BYTES } from '../space-map-index.js';
import type { SpaceMapRoot } from '../space-map-root.js';
import type { Counts } from '../reference-counts.js';
import { ToolFault, type ToolBlocks } from './tool-blocks.js';
import { nodeProblem, NO_KEY, ToolNode, type Key } from './tool-node.js';
import { readToolSuperblock, type ToolSuperblock } from './tool-superblock.js';

const DETAILS = { levels: 1, valueSize: 24 } as const;
const MAPPINGS = { levels: 2, valueSize: 8 } as const;
const REFERENCE_COUNTS = { levels: 1, valueSize: 4 } as const;
const INDEX = { levels: 1, valueSize: INDEX_ENTRY_BYTES } as const;
const INDEX_HEADER = 16;

interface CountedShape {
  readonly levels: 1 | 2;
  readonly valueSize: number;
}

/** The metadata's own space map as the tools read it. */
export class ToolSpaceMap {
  readonly #blocks: ToolBlocks;
  readonly #root: SpaceMapRoot;
  readonly #bitmaps: readonly number[];
  #last: { readonly number: number; readonly bitmap: Bitmap } | undefined;

  /** @throws ToolFault: its index */
  constructor(blocks: ToolBlocks, root: SpaceMapRoot) {
    this.#blocks = blocks;
    this.#root = root;
    const index = blocks.read('index', root.bitmapRoot);
    this.#bitmaps = Array.from(
      { length: Math.min(Math.ceil(root.blocks / BITMAP_ENTRIES), 255) },
      (_, number) => Number(index.readBigUInt64LE(INDEX_HEADER + number * INDEX_ENTRY_BYTES)),
    );
  }

  /** The blocks of its bitmaps; 0: none. */
  get bitmaps(): readonly number[] {
    return this.#bitmaps;
  }

  /** @throws ToolFault */
  count(block: number): number {
    const number = Math.floor(block / BITMAP_ENTRIES);
    if (this.#last?.number !== number) this.#last = { number, bitmap: this.#bitmap(number) };
    const small = this.#last.bitmap.at(block % BITMAP_ENTRIES);
    return small === 'many' ? this.#large(block) : small;
  }

  #bitmap(number: number): Bitmap {
    const block = this.#bitmaps[number] ?? 0;
    return new Bitmap(block, this.#blocks.read('bitmap', block), BITMAP_ENTRIES, 'bitmap');
  }

  #large(block: number): number {
    let node = ToolNode.at(this.#blocks, this.#root.refCountRoot);
    for (let at = node.floor(block); at >= 0; at = node.floor(block)) {
      if (!node.isInternal && node.key(at) !== block) break;
      node.requireValues(node.isInternal ? 8 : 4);
      if (!node.isInternal) return node.low(at);
      node = ToolNode.at(this.#blocks, node.block(at));
    }
    throw new ToolFault('ref count not in tree');
  }
}

/**
 * Counts what refers to each block of metadata as thin_check 0.9 does. `onFault` is called for a space map
 * that cannot be counted.
 * @returns whether all could be counted; @throws ToolFault: the trees, or the metadata snapshot
 */
export function countToolMetadata(
  blocks: ToolBlocks,
  superblock: ToolSuperblock,
  counts: Counts,
  onFault: (problem: string) => void,
): boolean {
  const counter = new Counter(blocks, counts);
  const trees = ({ detailsRoot, mappingRoot }: ToolSuperblock): void => {
    counter.tree(detailsRoot, DETAILS);
    counter.tree(mappingRoot, MAPPINGS);
  };
  counts.add(0);
  trees(superblock);
  if (superblock.heldRoot !== 0) {
    counts.add(superblock.heldRoot);
    trees(readToolSuperblock(blocks, superblock.heldRoot));
  }
  let isWhole = true;
  const attempt = (work: () => void): void => {
    try {
      work();
    } catch (error) {
      if (!(error instanceof ToolFault)) throw error;
      onFault(error.message);
      isWhole = false;
    }
  };
  attempt(() => {
    const map = new ToolSpaceMap(blocks, superblock.metadataSpaceMap);
    counts.add(superblock.metadataSpaceMap.bitmapRoot);
    for (const bitmap of map.bitmaps) counter.bitmap(bitmap);
    counter.tree(superblock.metadataSpaceMap.refCountRoot, REFERENCE_COUNTS);
  });
  attempt(() => {
    counter.tree(superblock.dataSpaceMap.bitmapRoot, INDEX, (node) => {
      for (let index = 0; index < node.count; index++) counter.bitmap(node.block(index));
    });
    counter.tree(superblock.dataSpaceMap.refCountRoot, REFERENCE_COUNTS);
  });
  return isWhole;
}

class Counter {
  readonly #blocks: ToolBlocks;
  readonly #counts: Counts;

  constructor(blocks: ToolBlocks, counts: Counts) {
    this.#blocks = blocks;
    this.#counts = counts;
  }

  bitmap(block: number): void {
    if (block === 0) return;
    this.#blocks.read('bitmap', block);
    this.#counts.add(block);
  }

  tree(root: number, shape: CountedShape, onLeaf: (node: ToolNode) => void = () => undefined): void {
    const lastKeys: Key[] = [];
    const walk = (block: number, level: number, depth: number, parentKey: Key): void => {
      const node = ToolNode.at(this.#blocks, block);
      const isUpper = level < shape.levels - 1;
      if (depth === 0) lastKeys[level] = NO_KEY;
      const problem = nodeProblem(
        node,
        node.isInternal || isUpper ? 8 : shape.valueSize,
        depth === 0,
        parentKey,
        node.isInternal ? NO_KEY : lastKeys[level]!,
        false,
      );
      if (problem !== undefined) return;
      if (!node.isInternal && node.count > 0) lastKeys[level] = node.exactKey(node.count - 1);
      if (this.#counts.add(block) > 0) return;
      if (node.isInternal) {
        for (let index = 0; index < node.count; index++) this.#blocks.requireThere(node.block(index));
        for (let index = 0; index < node.count; index++)
          walk(node.block(index), level, depth + 1, node.exactKey(index));
      } else if (isUpper)
        for (let index = 0; index < node.count; index++) walk(node.block(index), level + 1, 0, NO_KEY);
      else onLeaf(node);
    };
    walk(root, 0, 0, NO_KEY);
  }
}
