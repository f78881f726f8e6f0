import { endianness } from 'node:os';
import { METADATA_BLOCK } from '../disk-block.js';
import { DATA_UNIT } from '../mapping-value.js';
import { ToolFault, type ToolBlocks } from './tool-blocks.js';

const HEADER = 32;
const FIRST_KEY = HEADER / 4;
const WORDS = METADATA_BLOCK / 4;
/** From this high half on, a u64 is no number that a double holds exactly. */
const EXACT_HIGH = 2 ** 21;
const ENDIANNESS = endianness();
const INTERNAL = 1;
const LEAF = 2;

/** A u64: a number as long as it is exact, and a bigint from 2^53 on. They compare and print alike. */
export type Key = number | bigint;

/** The key that comes next; 0 behind the last one there can be. */
export function keyBehind(key: Key): Key {
  return typeof key === 'number' ? key + 1 : BigInt.asUintN(64, key + 1n);
}

/** Below every key. */
export const NO_KEY = -1;

/**
 * A node whose checksum is right and in which nothing else is sure: reading past its end gives zeroes. One
 * object is read into again and again, for a tree has millions of nodes.
 */
export class ToolNode {
  location = 0;
  isInternal = false;
  count = 0;
  capacity = 0;
  valueSize = 0;
  #bytes: Buffer = Buffer.allocUnsafeSlow(METADATA_BLOCK);
  /** All of it. Words and no DataView, which is slow until V8 has compiled what reads it. */
  #words: Uint32Array = wordsOf(this.#bytes);

  /** @throws ToolFault */
  static at(blocks: ToolBlocks, location: number): ToolNode {
    const node = new ToolNode();
    node.read(blocks, location);
    return node;
  }

  /** It is this node from now on. @throws ToolFault: then it is none */
  read(blocks: ToolBlocks, location: number): void {
    const bytes = blocks.read('node', location, this.#bytes);
    if (bytes !== this.#bytes || ENDIANNESS !== 'LE') {
      this.#bytes = bytes;
      this.#words = wordsOf(bytes);
    }
    const words = this.#words;
    this.location = location;
    this.count = words[4]!;
    this.capacity = words[5]!;
    this.valueSize = words[6]!;
    const kind = words[1]! & (INTERNAL | LEAF);
    this.isInternal = kind === INTERNAL;
    if (kind === 0) throw new ToolFault(`unknown node type (block ${location})`);
    if (kind === (INTERNAL | LEAF))
      throw new ToolFault(`btree node is both internal and leaf (block ${location})`);
  }

  /** Exact up to 2^53. */
  key(index: number): number {
    return this.#number(FIRST_KEY + index * 2);
  }

  exactKey(index: number): Key {
    const at = FIRST_KEY + index * 2;
    if (at >= WORDS) return 0;
    const high = this.#words[at + 1]!;
    if (high < EXACT_HIGH) return high * 2 ** 32 + this.#words[at]!;
    return inexactKey(high, this.#words[at]!);
  }

  /** A value of eight bytes. Exact up to 2^53. */
  block(index: number): number {
    return this.#number(this.#valueAt(index));
  }

  /** The halves of a value of eight bytes; the first is all of one of four. */
  low(index: number): number {
    return this.#words[this.#valueAt(index)] ?? 0;
  }

  high(index: number): number {
    return this.#words[this.#valueAt(index) + 1] ?? 0;
  }

  /**
   * Place behind mappings from `index` on that follow each other in the device and in the data, of one time.
   * It may come early, where a half of a number overflows.
   */
  runEnd(index: number): number {
    const words = this.#words;
    let keyAt = FIRST_KEY + index * 2;
    let valueAt = this.#valueAt(index);
    const end = Math.min(this.count, index + Math.floor((WORDS - valueAt) / 2));
    let key = words[keyAt]! | 0;
    let low = words[valueAt]! | 0;
    const keyHigh = words[keyAt + 1];
    const high = words[valueAt + 1];
    let next = index + 1;
    for (; next < end; next++) {
      keyAt += 2;
      valueAt += 2;
      key = (key + 1) | 0;
      low = (low + DATA_UNIT) | 0;
      if ((words[keyAt]! | 0) !== key || (words[valueAt]! | 0) !== low) break;
      if (words[keyAt + 1] !== keyHigh || words[valueAt + 1] !== high) break;
    }
    return next;
  }

  /** Place of the first key that is not above the key before it; undefined where all are. */
  firstUnordered(): number | undefined {
    const words = this.#words;
    let high = -1;
    let low = 0;
    for (let index = 0, at = FIRST_KEY; index < this.count; index++, at += 2) {
      if (at >= WORDS) return index;
      const nextHigh = words[at + 1]!;
      const nextLow = words[at]!;
      if (nextHigh === high ? nextLow <= low : nextHigh < high) return index;
      high = nextHigh;
      low = nextLow;
    }
    return undefined;
  }

  value(index: number): Buffer {
    const at = this.#valueAt(index) * 4;
    return this.#bytes.subarray(at, at + this.valueSize);
  }

  /** Before a value is taken without a look at the rest. @throws ToolFault */
  requireValues(bytes: number): void {
    const problem = sizeProblem(this, bytes);
    if (problem !== undefined) throw new ToolFault(problem);
    this.requireFits();
  }

  /** The tools look at it when they come to the values, and not at the keys. @throws ToolFault */
  requireFits(): void {
    const most = Math.floor((METADATA_BLOCK - HEADER) / (8 + this.valueSize) / 3) * 3;
    if (this.count > most)
      throw new ToolFault(
        `Bad nr of elements: max per block = ${most}, actual = ${this.count} (block ${this.location})\n`,
      );
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

  /** Values are taken of sizes that are whole words. */
  #valueAt(index: number): number {
    return FIRST_KEY + this.capacity * 2 + (index * this.valueSize) / 4;
  }

  #number(at: number): number {
    return at < WORDS ? this.#words[at + 1]! * 2 ** 32 + this.#words[at]! : 0;
  }
}

/** The words of a block, as the format has them: low byte first. */
function wordsOf(bytes: Buffer): Uint32Array {
  const { buffer, byteOffset } = ENDIANNESS === 'LE' && bytes.byteOffset % 4 === 0 ? bytes : swapped(bytes);
  return new Uint32Array(buffer, byteOffset, WORDS);
}

function swapped(bytes: Buffer): Uint8Array {
  const copy = Buffer.alloc(METADATA_BLOCK, bytes);
  return ENDIANNESS === 'LE' ? copy : copy.swap32();
}

/** Apart, as no sound metadata has one: V8 compiles what it meets it in with all of it. */
function inexactKey(high: number, low: number): bigint {
  return BigInt(high) * 2n ** 32n + BigInt(low);
}

/**
 * What is wrong with a node, in the words of thin_check 0.9; undefined where nothing is. `parentKey`: the key
 * that led to it; `lastKey`: that of the leaf before it. `ignoreNonFatal`: too few or too many entries are
 * passed over.
 */
export function nodeProblem(
  node: ToolNode,
  valueSize: number,
  isRoot: boolean,
  parentKey: Key,
  lastKey: Key,
  ignoreNonFatal: boolean,
): string | undefined {
  const { count, capacity } = node;
  const isSound =
    node.valueSize === valueSize &&
    (8 + valueSize) * capacity + HEADER <= METADATA_BLOCK &&
    capacity % 3 === 0 &&
    (ignoreNonFatal || (count <= capacity && (isRoot || count * 3 >= capacity))) &&
    node.firstUnordered() === undefined &&
    parentKey <= node.exactKey(0) &&
    (count === 0 || lastKey < node.exactKey(0));
  return isSound ? undefined : problemWords(node, valueSize, isRoot, parentKey, lastKey, ignoreNonFatal);
}

function problemWords(
  node: ToolNode,
  expectedSize: number,
  isRoot: boolean,
  parentKey: Key,
  lastKey: Key,
  ignoreNonFatal: boolean,
): string | undefined {
  const { location, count, capacity, valueSize } = node;
  const mismatch = sizeProblem(node, expectedSize);
  if (mismatch !== undefined) return mismatch;
  const where = `(block ${location})`;
  if ((8 + valueSize) * capacity + HEADER > METADATA_BLOCK)
    return `max entries too large: ${capacity} ${where}`;
  if (capacity % 3 !== 0) return `max entries is not divisible by 3: ${capacity} ${where}`;
  if (!ignoreNonFatal) {
    if (count > capacity) return `bad nr_entries: ${count} < ${capacity} ${where}`;
    if (!isRoot && count < Math.floor(capacity / 3))
      return `too few entries in btree_node: ${count}, expected at least ${Math.floor(capacity / 3)} (block ${location}, max_entries = ${capacity})`;
  }
  const unordered = node.firstUnordered();
  if (unordered !== undefined)
    return `keys are out of order, ${node.exactKey(unordered)} <= ${node.exactKey(unordered - 1)} ${where}`;
  if (parentKey > node.exactKey(0))
    return `parent key mismatch: parent was ${parentKey}, but lowest in node was ${node.exactKey(0)} ${where}`;
  if (count > 0 && lastKey >= node.exactKey(0))
    return `the last key of the previous leaf was ${lastKey} and the first key of this leaf is ${node.exactKey(0)} ${where}`;
  return undefined;
}

function sizeProblem({ location, valueSize }: ToolNode, expected: number): string | undefined {
  if (valueSize === expected) return undefined;
  return `value size mismatch: expected ${expected}, but got ${valueSize} (block ${location}).`;
}
