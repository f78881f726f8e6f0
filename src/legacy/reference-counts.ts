import type { NodeReader } from './node-reader.js';

const SATURATED = 255;

/** How many there are of each, of numbers from `first` on; small where the counts are. */
export class Counts {
  #first: number;
  #length: number;
  readonly #small: Uint8Array;
  readonly #large = new Map<number, number>();

  constructor(first: number, length: number) {
    this.#first = first;
    this.#length = length;
    this.#small = new Uint8Array(length);
  }

  get first(): number {
    return this.#first;
  }

  get end(): number {
    return this.#first + this.#length;
  }

  /** Counts other numbers from now on, no more of them than at first: in the same memory. */
  restart(first: number, length: number): void {
    this.#first = first;
    this.#length = length;
    this.#small.fill(0);
    this.#large.clear();
  }

  /** Returns the count of before. Numbers outside are not counted. */
  add(value: number): number {
    const at = value - this.#first;
    if (at < 0 || at >= this.#length) return 0;
    const before = this.#small[at]!;
    if (before < SATURATED) this.#small[at] = before + 1;
    else this.#large.set(value, (this.#large.get(value) ?? SATURATED) + 1);
    return before;
  }

  of(value: number): number {
    const small = this.#small[value - this.#first] ?? 0;
    return small < SATURATED ? small : (this.#large.get(value) ?? small);
  }
}

/** What the values of a tree's leaves refer to: blocks of metadata, or nothing that is counted. */
export type ValueKind = 'blocks' | 'none';

/**
 * Counts in `counts` what refers to the nodes of a tree and, by its leaves, to other blocks: a node that
 * several trees share counts for each that leads to it, and what it refers to once. Errors: damaged.
 */
export function countTree(nodes: NodeReader, block: number, values: ValueKind, counts: Counts): void {
  if (counts.add(block) > 0) return;
  const node = nodes.node(block, 'tree');
  if (!node.isLeaf)
    for (let index = 0; index < node.count; index++)
      countTree(nodes, node.child(index, 'tree'), values, counts);
  else if (values === 'blocks')
    for (let index = 0; index < node.count; index++) counts.add(node.child(index, 'tree'));
}
