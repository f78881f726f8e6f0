import { METADATA_BLOCK } from '../disk-block.js';
import { ToolFault, type ToolBlocks } from './tool-blocks.js';

const HEADER = 32;
const INTERNAL = 1;
const LEAF = 2;

/** A node whose checksum is right and in which nothing else is sure: reading past its end gives zeroes. */
export class ToolNode {
  readonly location: number;
  readonly isInternal: boolean;
  readonly count: number;
  readonly capacity: number;
  readonly valueSize: number;
  readonly #view: DataView;

  /** `into`: where its bytes are to be. @throws ToolFault */
  constructor(blocks: ToolBlocks, location: number, into?: Buffer) {
    const bytes = blocks.read('node', location, into);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.location = location;
    this.count = this.#view.getUint32(16, true);
    this.capacity = this.#view.getUint32(20, true);
    this.valueSize = this.#view.getUint32(24, true);
    const flags = this.#view.getUint32(4, true);
    this.isInternal = (flags & INTERNAL) !== 0;
    if (this.isInternal && (flags & LEAF) !== 0)
      throw new ToolFault(`btree node is both internal and leaf (block ${location})`);
    if (!this.isInternal && (flags & LEAF) === 0)
      throw new ToolFault(`unknown node type (block ${location})`);
  }

  /** Exact up to 2^53. */
  key(index: number): number {
    return this.#number(HEADER + index * 8);
  }

  exactKey(index: number): bigint {
    const at = HEADER + index * 8;
    return at + 8 <= METADATA_BLOCK ? this.#view.getBigUint64(at, true) : 0n;
  }

  /** A value of eight bytes. Exact up to 2^53. */
  block(index: number): number {
    return this.#number(this.#valueAt(index));
  }

  /** The halves of a value of eight bytes; the first is all of one of four. */
  low(index: number): number {
    return this.#half(this.#valueAt(index));
  }

  high(index: number): number {
    return this.#half(this.#valueAt(index) + 4);
  }

  /** Place of the first key that is not above the key before it; undefined where all are. */
  firstUnordered(): number | undefined {
    const view = this.#view;
    let [high, low] = [-1, 0];
    for (let index = 0, at = HEADER; index < this.count; index++, at += 8) {
      if (at + 8 > METADATA_BLOCK) return index;
      const [nextHigh, nextLow] = [view.getUint32(at + 4, true), view.getUint32(at, true)];
      if (nextHigh < high || (nextHigh === high && nextLow <= low)) return index;
      high = nextHigh;
      low = nextLow;
    }
    return undefined;
  }

  value(index: number): Buffer {
    return Buffer.from(this.#view.buffer, this.#view.byteOffset + this.#valueAt(index), this.valueSize);
  }

  /** Before a value is taken without a look at the rest. @throws ToolFault */
  requireValues(bytes: number): void {
    const problem = sizeProblem(this, bytes);
    if (problem !== undefined) throw new ToolFault(problem);
  }

  /** Place of the last key that is at most `key`; -1 where there is none. */
  floor(key: number): number {
    let low = -1;
    let high = this.count;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (this.key(middle) <= key) low = middle;
      else high = middle;
    }
    return low;
  }

  #valueAt(index: number): number {
    return HEADER + this.capacity * 8 + index * this.valueSize;
  }

  #half(at: number): number {
    return at + 4 <= METADATA_BLOCK ? this.#view.getUint32(at, true) : 0;
  }

  #number(at: number): number {
    if (at + 8 > METADATA_BLOCK) return 0;
    return this.#view.getUint32(at + 4, true) * 2 ** 32 + this.#view.getUint32(at, true);
  }
}

/** What is wrong with a node, in the words of thin_check 0.9; undefined where nothing is. */
export function nodeProblem(
  node: ToolNode,
  expected: {
    readonly valueSize: number;
    readonly isRoot: boolean;
    /** The key that led to it. */
    readonly parentKey: bigint | undefined;
    /** The last key of the leaf before it. */
    readonly lastKey: bigint | undefined;
    /** Too few or too many entries are passed over. */
    readonly ignoreNonFatal: boolean;
  },
): string | undefined {
  const { location, count, capacity, valueSize } = node;
  const mismatch = sizeProblem(node, expected.valueSize);
  if (mismatch !== undefined) return mismatch;
  const where = `(block ${location})`;
  if ((8 + valueSize) * capacity + HEADER > METADATA_BLOCK)
    return `max entries too large: ${capacity} ${where}`;
  if (capacity % 3 !== 0) return `max entries is not divisible by 3: ${capacity} ${where}`;
  if (!expected.ignoreNonFatal) {
    if (count > capacity) return `bad nr_entries: ${count} < ${capacity} ${where}`;
    if (!expected.isRoot && count < Math.floor(capacity / 3))
      return `too few entries in btree_node: ${count}, expected at least ${Math.floor(capacity / 3)} (block ${location}, max_entries = ${capacity})`;
  }
  const unordered = node.firstUnordered();
  if (unordered !== undefined)
    return `keys are out of order, ${node.exactKey(unordered)} <= ${node.exactKey(unordered - 1)} ${where}`;
  const { parentKey, lastKey } = expected;
  if (parentKey !== undefined && parentKey > node.exactKey(0))
    return `parent key mismatch: parent was ${parentKey}, but lowest in node was ${node.exactKey(0)} ${where}`;
  if (count > 0 && lastKey !== undefined && lastKey >= node.exactKey(0))
    return `the last key of the previous leaf was ${lastKey} and the first key of this leaf is ${node.exactKey(0)} ${where}`;
  return undefined;
}

function sizeProblem({ location, valueSize }: ToolNode, expected: number): string | undefined {
  if (valueSize === expected) return undefined;
  return `value size mismatch: expected ${expected}, but got ${valueSize} (block ${location}).`;
}
