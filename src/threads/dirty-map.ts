/** Entries per word of a level. */
const BITS = 32;
/** Words of the top level at most: they are looked at one by one. */
const TOP_WORDS = 32;

/**
 * What another thread needs to mark entries of the same map. All arrays lie in shared memory: a bit for each
 * entry first, then, level upon level, a bit for each word of the level below.
 */
export type DirtyMapMemory = readonly Int32Array[];

export interface TakenEntries {
  /** Ascending. */
  readonly entries: number[];
  /** Where to go on, perhaps for nothing more; undefined: nothing was left behind the last of them. */
  readonly next: number | undefined;
}

/**
 * A set of numbers in shared memory that any thread adds to and one thread takes from. Taking costs what is
 * taken and nothing for the range: the levels above say where to look.
 */
export class DirtyMap {
  readonly memory: DirtyMapMemory;

  constructor(memory: DirtyMapMemory) {
    this.memory = memory;
  }

  /** @param range entries are 0 .. range - 1, at most 2^32; what is not touched of them costs no memory */
  static create(range: number): DirtyMap {
    const levels = [threadInts(Math.ceil(range / BITS))];
    for (let words = levels[0]!.length; words > TOP_WORDS; words = levels.at(-1)!.length)
      levels.push(threadInts(Math.ceil(words / BITS)));
    return new DirtyMap(levels);
  }

  /**
   * True if the entry was not in the set. The thread that takes the entry sees what the caller wrote before.
   */
  mark(entry: number): boolean {
    let at = entry;
    let isNew = false;
    for (let level = 0; level < this.memory.length; level++) {
      const bit = 1 << (at & 31);
      // Always goes up: the thread that set the bit may not have reached this level yet, and this thread's
      // caller relies on the entry from now on.
      const before = Atomics.or(this.memory[level]!, at >>> 5, bit);
      if (level === 0) isNew = (before & bit) === 0;
      at >>>= 5;
    }
    return isNew;
  }

  /** All entries, ascending; the set is empty but for those that were marked meanwhile. */
  take(): number[] {
    return this.takeFrom(0, Infinity).entries;
  }

  /** Takes at most `most` entries of those that are not below `from`. */
  takeFrom(from: number, most: number): TakenEntries {
    const entries: number[] = [];
    const top = this.memory.length - 1;
    const words = this.memory[top]!.length;
    for (let word = Math.floor(from / BITS ** (top + 1)); word < words; word++)
      if (!this.#takeWord(top, word, from, most, entries)) return { entries, next: entries.at(-1)! + 1 };
    return { entries, next: undefined };
  }

  /** False where `most` was reached before the end of what is below the word. */
  #takeWord(level: number, word: number, from: number, most: number, entries: number[]): boolean {
    const words = this.memory[level]!;
    const below = BITS ** level;
    const first = Math.max(0, Math.floor(from / below) - word * BITS);
    if (first >= BITS) return true;
    for (let rest = Atomics.load(words, word) & (-1 << first); rest !== 0; rest &= rest - 1) {
      if (entries.length >= most) return false;
      const bit = lowestBit(rest);
      const at = word * BITS + bit;
      // Cleared before the words below are read: a thread that marks an entry afterwards sets it again.
      Atomics.and(words, word, ~(1 << bit));
      if (level === 0) {
        entries.push(at);
        continue;
      }
      const whole = this.#takeWord(level - 1, at, from, most, entries);
      if (!whole || at * below < from) Atomics.or(words, word, 1 << bit);
      if (!whole) return false;
    }
    return true;
  }
}

export function threadInts(length: number): Int32Array {
  return new Int32Array(new SharedArrayBuffer(Math.max(1, length) * 4));
}

function lowestBit(word: number): number {
  return 31 - Math.clz32(word & -word);
}
