import { ThinError } from '../errors/thin-error.js';
import { fittingNode, pathOfNode } from './fitting-node.js';
import { pathOf, problemOf } from './legacy-damage.js';
import type { LegacyDevice } from './legacy-pool.js';
import type { LostRange } from './legacy-tree.js';
import { dataBlockOf, MAPPING_BYTES } from './mapping-value.js';
import type { NodeReader } from './node-reader.js';
import { Counts } from './reference-counts.js';
import type { LegacyNode } from './tree-node.js';

/** Data blocks that are counted at once: a byte each, so that memory does not grow with the pool. */
const WINDOW = 2 ** 25;
/** Metadata blocks up to which the keys of every node are kept: 16 MiB of them. */
const MAX_SPANS = 2 ** 20;
/** Windows that a leaf's mark tells apart; the last stands for all that come behind. */
const LAST_MARK = 255;

/** In place of the last key below a node without entries. */
const NOTHING = -1;

/** What is known of a node. */
const UNSEEN = 0;
const OPEN = 1;
const SOUND = 2;
const UNSOUND = 3;

/** What one device has. */
export interface DeviceCensus {
  /** Blocks that are mapped to data of the pool. */
  readonly mapped: number;
  /** Ascending; what cannot be known. */
  readonly lost: readonly LostRange[];
  /** The last mapped block; undefined where it is not known here. */
  readonly last: number | 'none' | undefined;
}

/**
 * Counts the mappings of all devices, and what refers to nodes and to data. Each node is walked once, however
 * many devices share it; what is damaged is walked again for each device that has it.
 */
export class MappingCensus {
  /** References to blocks of metadata; those of device roots are not among them. */
  readonly metadata: Counts;
  readonly #nodes: NodeReader;
  readonly #dataBlocks: number;
  readonly #data: Counts;
  readonly #window: number;
  readonly #state: Uint8Array;
  readonly #leafMapped: Uint8Array;
  readonly #innerMapped = new Map<number, number>();
  /** First and last block below each sound node; undefined where there would be too many. */
  readonly #spans: Float64Array | undefined;
  /**
   * By leaf, the marks of the first and the last window of data that it refers to; 0: it refers to none.
   * Undefined where there is but one window.
   */
  readonly #marks: Uint8Array | undefined;
  #isWhole = true;
  #where = '';
  #lost: LostRange[] = [];

  /** `window`: data blocks counted at once. */
  constructor(nodes: NodeReader, dataBlocks: number, window = WINDOW) {
    const { blocks } = nodes.blocks;
    this.#nodes = nodes;
    this.#dataBlocks = dataBlocks;
    this.metadata = new Counts(0, blocks);
    this.#window = window;
    this.#data = new Counts(0, Math.min(window, dataBlocks));
    this.#state = new Uint8Array(blocks);
    this.#leafMapped = new Uint8Array(blocks);
    this.#spans = blocks <= MAX_SPANS ? new Float64Array(2 * blocks) : undefined;
    this.#marks = dataBlocks > window ? new Uint8Array(2 * blocks) : undefined;
  }

  device({ id, tree }: LegacyDevice): DeviceCensus {
    if (tree === undefined) {
      this.#isWhole = false;
      const problem = 'the root of its mappings is lost';
      return {
        mapped: 0,
        last: undefined,
        lost: [{ begin: 0, end: Infinity, path: `device ${id}`, problem }],
      };
    }
    this.#lost = [];
    this.#where = `device ${id}`;
    const mapped = this.#walk(tree.root, 0, Infinity, 0);
    return { mapped, lost: this.#lost, last: this.#lastBelow(tree.root) };
  }

  /** No node was damaged, so that all references were counted. */
  get isWhole(): boolean {
    return this.#isWhole;
  }

  /**
   * References to data of all devices that were counted, in windows: one is at hand, and leaves are read once
   * more for the others, into the same memory. Errors: damaged.
   */
  *data(): Generator<Counts> {
    const counts = this.#data;
    const window = this.#window;
    for (let first = 0; first < this.#dataBlocks; first += window) {
      if (first === counts.first) {
        yield counts;
        continue;
      }
      counts.restart(first, Math.min(window, this.#dataBlocks - first));
      const mark = markOf(first / window);
      for (let block = 0; 2 * block < this.#marks!.length; block++) {
        if (mark < this.#marks![2 * block]! || mark > this.#marks![2 * block + 1]!) continue;
        const node = this.#nodes.node(block, pathOfNode('mappings', block), 'pass');
        for (let index = 0; index < node.count; index++)
          counts.add(dataBlockOf(node.low(index), node.high(index)));
      }
      yield counts;
    }
  }

  #walk(block: number, low: number, high: number, depth: number): number {
    const state = this.#state[block];
    if (state === SOUND && this.#fits(block, low, high)) return this.#mappedBelow(block);
    let node: LegacyNode;
    try {
      node = fittingNode(
        this.#nodes,
        block,
        { low, high, depth },
        { valueSize: MAPPING_BYTES, where: this.#where, leaves: 'pass' },
      );
    } catch (error) {
      this.#lose(error, low, high);
      return 0;
    }
    if (state === SOUND && this.#spans === undefined) return this.#mappedBelow(block);
    const before = this.#lost.length;
    const isFirst = state === UNSEEN;
    if (isFirst) this.#state[block] = OPEN;
    const mapped = node.isLeaf ? this.#leaf(node, isFirst) : this.#inner(node, high, depth, isFirst);
    if (isFirst) this.#remember(node, mapped, this.#lost.length === before);
    return mapped;
  }

  #inner(node: LegacyNode, end: number, depth: number, isFirst: boolean): number {
    let mapped = 0;
    for (let index = 0; index < node.count; index++) {
      const low = node.keys[index]!;
      const high = index + 1 < node.count ? node.keys[index + 1]! : end;
      try {
        const child = node.child(index, pathOfNode(this.#where, node.block));
        if (isFirst) this.metadata.add(child);
        mapped += this.#walk(child, low, high, depth + 1);
      } catch (error) {
        this.#lose(error, low, high);
      }
    }
    return mapped;
  }

  #leaf(node: LegacyNode, isFirst: boolean): number {
    let bad = 0;
    let [firstMark, lastMark] = [0, 0];
    const window = this.#window;
    for (let index = 0; index < node.count; index++) {
      const data = dataBlockOf(node.low(index), node.high(index));
      if (data >= this.#dataBlocks) {
        bad++;
        const block = node.keys[index]!;
        const path = `${pathOfNode(this.#where, node.block)} / block ${block}`;
        const problem = `it is mapped to data block ${data}, and the pool has ${this.#dataBlocks}`;
        this.#lost.push({ begin: block, end: block + 1, path, problem });
      } else if (isFirst) {
        if (data < window) this.#data.add(data);
        const mark = markOf(data / window);
        if (firstMark === 0 || mark < firstMark) firstMark = mark;
        if (mark > lastMark) lastMark = mark;
      }
    }
    if (lastMark !== 0 && this.#marks !== undefined) {
      this.#marks[2 * node.block] = firstMark;
      this.#marks[2 * node.block + 1] = lastMark;
    }
    return node.count - bad;
  }

  #remember(node: LegacyNode, mapped: number, isSound: boolean): void {
    const { block, isLeaf, keys, count } = node;
    this.#state[block] = isSound ? SOUND : UNSOUND;
    if (isLeaf) this.#leafMapped[block] = mapped;
    else this.#innerMapped.set(block, mapped);
    if (this.#spans === undefined || !isSound) return;
    this.#spans[2 * block] = keys[0] ?? 0;
    this.#spans[2 * block + 1] = isLeaf
      ? (keys[count - 1] ?? NOTHING)
      : this.#spans[2 * node.child(count - 1, this.#where) + 1]!;
  }

  #lastBelow(block: number): number | 'none' | undefined {
    if (this.#spans === undefined || this.#state[block] !== SOUND) return undefined;
    const last = this.#spans[2 * block + 1]!;
    return last === NOTHING ? 'none' : last;
  }

  #mappedBelow(block: number): number {
    return this.#innerMapped.get(block) ?? this.#leafMapped[block]!;
  }

  /** Whether a sound node belongs here, too. An empty one belongs nowhere but at the top. */
  #fits(block: number, low: number, high: number): boolean {
    if (this.#spans === undefined) return false;
    const last = this.#spans[2 * block + 1]!;
    return this.#spans[2 * block]! >= low && last < high && last !== NOTHING;
  }

  #lose(error: unknown, begin: number, end: number): void {
    if (!(error instanceof ThinError) || error.code !== 'damaged') throw error;
    this.#isWhole = false;
    this.#lost.push({ begin, end, path: pathOf(error), problem: problemOf(error) });
  }
}

/** Of a window, from 0 on: from 1 on. */
function markOf(window: number): number {
  return Math.min(LAST_MARK, Math.floor(window) + 1);
}
