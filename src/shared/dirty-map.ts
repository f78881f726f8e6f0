/** Entries per word of `bits`. */
const BITS = 32;

/** What another thread needs to mark entries of the same map. Both arrays lie in shared memory. */
export interface DirtyMapMemory {
  readonly bits: Int32Array;
  readonly summary: Int32Array;
}

/**
 * A set of numbers in shared memory that any thread adds to and one thread empties. The summary has a bit for each word of `bits`, so
 * that emptying costs what is in the set and 1/1024 of its range.
 */
export class DirtyMap {
  readonly memory: DirtyMapMemory;
  readonly #bits: Int32Array;
  readonly #summary: Int32Array;

  constructor(memory: DirtyMapMemory) {
    this.memory = memory;
    this.#bits = memory.bits;
    this.#summary = memory.summary;
  }

  /** @param range entries are 0 .. range - 1 */
  static create(range: number): DirtyMap {
    const words = Math.ceil(range / BITS);
    return new DirtyMap({ bits: sharedInts(words), summary: sharedInts(Math.ceil(words / BITS)) });
  }

  /** True where the entry was not in the set. What the caller wrote before is seen by whoever takes the entry. */
  mark(entry: number): boolean {
    const word = entry >>> 5;
    const bit = 1 << (entry & 31);
    const before = Atomics.or(this.#bits, word, bit);
    // Always, since whoever set the bit may not have come this far yet, and this thread's caller counts on the entry from now on.
    Atomics.or(this.#summary, word >>> 5, 1 << (word & 31));
    return (before & bit) === 0;
  }

  /** All entries, ascending; the set is empty but for those that were marked meanwhile. */
  take(): number[] {
    const taken: number[] = [];
    for (let at = 0; at < this.#summary.length; at++) {
      if (Atomics.load(this.#summary, at) === 0) continue;
      forEachBit(Atomics.exchange(this.#summary, at, 0), (lower) => {
        const word = at * BITS + lower;
        forEachBit(Atomics.exchange(this.#bits, word, 0), (bit) => taken.push(word * BITS + bit));
      });
    }
    return taken;
  }
}

export function sharedInts(length: number): Int32Array {
  return new Int32Array(new SharedArrayBuffer(Math.max(1, length) * 4));
}

function forEachBit(word: number, visit: (bit: number) => void): void {
  for (let rest = word; rest !== 0; rest &= rest - 1) visit(31 - Math.clz32(rest & -rest));
}
