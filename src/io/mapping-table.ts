import { chunkId, type ChunkId } from '../format/ids.js';
import { DirtyMap, threadInts, type DirtyMapMemory } from '../threads/dirty-map.js';
import { nap } from '../threads/request-epochs.js';
import { SHEET_WORDS, type TableSheets } from './table-sheets.js';

/**
 * word := 0                       not known: the tree was not asked yet
 *       | [LOCK] HOLE             unmapped
 *       | [LOCK] [SHARED] chunk + 2
 *
 * A word under LOCK keeps its old value until the new one is published: readers go on with it. The words of
 * 1024 blocks are a sheet; where all of them are unknown, or holes, there is none, and their directory has
 * that in the sheet's place. It is so with directories, too, and the root's words.
 */
export const UNKNOWN = 0;
export const HOLE = 1;
export const SHARED = 1 << 30;
const LOCK = 1 << 31;
const FIRST_CHUNK = 2;
const VALUE = SHARED - 1;

const SHEET_BITS = Math.log2(SHEET_WORDS);
const DIRECTORY_BITS = 2 * SHEET_BITS;
/** Blocks below a sheet of a directory. */
const DIRECTORY_BLOCKS = 2 ** DIRECTORY_BITS;

/** What another thread needs to use the table of a device. */
export interface TableMemory {
  /**
   * A word for each directory: UNKNOWN, HOLE, or the number of its sheet, whose words are the same for the
   * sheets of blocks.
   */
  readonly root: Int32Array;
  readonly sheets: Int32Array;
  readonly dirty: DirtyMapMemory;
  readonly counters: Int32Array;
}

/** Neighbouring blocks, up to `end`, of which the same is known. */
export interface Extent {
  /** `words`: each block has its own. */
  readonly known: 'nothing' | 'holes' | 'words';
  readonly end: number;
}

const DIRTY_COUNT = 0;
const NEWLY_MAPPED = 1;
const SPINS = 200;

/**
 * An active device's mappings unfolded, one 32-bit word a virtual block, in shared memory: any thread looks
 * them up, and changes one that it has locked. Costs memory where blocks are mapped and were looked up,
 * whatever the size of the device.
 */
export class MappingTable {
  readonly memory: TableMemory;
  readonly #root: Int32Array;
  readonly #sheets: Int32Array;
  readonly #dirty: DirtyMap;
  readonly #counters: Int32Array;
  #sheetCount = 0;

  constructor(memory: TableMemory) {
    this.memory = memory;
    this.#root = memory.root;
    this.#sheets = memory.sheets;
    this.#dirty = new DirtyMap(memory.dirty);
    this.#counters = memory.counters;
  }

  /** Nothing is known. */
  static create(blocks: number, sheets: Int32Array): MappingTable {
    return new MappingTable({
      root: threadInts(Math.ceil(blocks / DIRECTORY_BLOCKS)),
      sheets,
      dirty: DirtyMap.create(blocks).memory,
      counters: threadInts(2),
    });
  }

  /** Blocks whose mapping changed and was not taken since. */
  get dirtyCount(): number {
    return Atomics.load(this.#counters, DIRTY_COUNT);
  }

  /** Blocks mapped less blocks unmapped, of what `noteApplied` was not told. */
  get newlyMapped(): number {
    return Atomics.load(this.#counters, NEWLY_MAPPED);
  }

  /** The word without its lock. */
  load(block: number): number {
    const sheet = this.#sheetOf(block);
    return sheet <= HOLE ? sheet : Atomics.load(this.#sheets, place(sheet, block)) & ~LOCK;
  }

  /** Whether a hole can be locked, and so mapped; where not, the pool thread makes the sheet. */
  hasSheet(block: number): boolean {
    return this.#sheetOf(block) > HOLE;
  }

  /** False where the word is locked, not `word` any more, or has no sheet. */
  tryLock(block: number, word: number): boolean {
    const sheet = this.#sheetOf(block);
    if (sheet <= HOLE) return false;
    return Atomics.compareExchange(this.#sheets, place(sheet, block), word, word | LOCK) === word;
  }

  /** Locks whatever the word is, and returns it. The block has a sheet. */
  lock(block: number): number {
    for (let spins = 0; ; spins++) {
      const word = this.load(block);
      if (this.tryLock(block, word)) return word;
      if (spins > SPINS) nap();
    }
  }

  /** Leaves a locked word as it was. */
  unlock(block: number): void {
    Atomics.and(this.#sheets, place(this.#sheetOf(block), block), ~LOCK);
  }

  /** Ends a lock with a mapping of the device's own, or none. */
  publish(block: number, chunk: ChunkId | undefined): void {
    const at = place(this.#sheetOf(block), block);
    const before = Atomics.load(this.#sheets, at) & ~LOCK;
    Atomics.store(this.#sheets, at, chunk === undefined ? HOLE : chunk + FIRST_CHUNK);
    const delta = (chunk === undefined ? 0 : 1) - (before === HOLE ? 0 : 1);
    if (delta !== 0) Atomics.add(this.#counters, NEWLY_MAPPED, delta);
    this.markDirty(block);
  }

  markDirty(block: number): void {
    if (this.#dirty.mark(block)) Atomics.add(this.#counters, DIRTY_COUNT, 1);
  }

  /** At most `most` changed blocks from `from` on, ascending. Pool thread only, as all that follows. */
  takeDirty(from: number, most: number): ReturnType<DirtyMap['takeFrom']> {
    const taken = this.#dirty.takeFrom(from, most);
    Atomics.sub(this.#counters, DIRTY_COUNT, taken.entries.length);
    return taken;
  }

  /** So many blocks more are mapped in the tree now than before. */
  noteApplied(mapped: number): void {
    Atomics.sub(this.#counters, NEWLY_MAPPED, mapped);
  }

  /** The known state from the block on. Costs at most the words of a directory and the root. */
  extent(block: number): Extent {
    const at = block >>> DIRECTORY_BITS;
    const directory = this.#root[at]!;
    if (directory <= HOLE) {
      let next = at + 1;
      while (next < this.#root.length && this.#root[next] === directory) next++;
      return { known: directory === HOLE ? 'holes' : 'nothing', end: next * DIRECTORY_BLOCKS };
    }
    const sheet = this.#sheetOf(block);
    let next = (block >>> SHEET_BITS) + 1;
    if (sheet > HOLE) return { known: 'words', end: next * SHEET_WORDS };
    while (next % SHEET_WORDS !== 0 && this.#sheets[place(directory, next)] === sheet) next++;
    return { known: sheet === HOLE ? 'holes' : 'nothing', end: next * SHEET_WORDS };
  }

  /**
   * The words of the sheet around a block of which nothing was known.
   * @returns false where there is no sheet to be had
   */
  fillSheet(block: number, words: Int32Array, sheets: TableSheets): boolean {
    const directory = this.#directoryOf(block, sheets);
    const sheet = directory === undefined ? undefined : this.#take(HOLE, sheets);
    if (directory === undefined || sheet === undefined) return false;
    this.#sheets.set(words, sheet * SHEET_WORDS);
    // Threads find the sheet by this word, and with it what was put in before.
    Atomics.store(this.#sheets, place(directory, block >>> SHEET_BITS), sheet);
    return true;
  }

  /**
   * The tree maps nothing in [from, to): whole sheets and directories in there of which nothing was known are
   * holes.
   * @returns false where there is no sheet to be had
   */
  fillHoles(from: number, to: number, sheets: TableSheets): boolean {
    const end = Math.min(Math.floor(to / DIRECTORY_BLOCKS), this.#root.length);
    for (let at = Math.ceil(from / DIRECTORY_BLOCKS); at < end; at++)
      if (this.#root[at] === UNKNOWN) Atomics.store(this.#root, at, HOLE);
    if (this.#root[from >>> DIRECTORY_BITS] === HOLE) return true;
    const directory = this.#directoryOf(from, sheets);
    if (directory === undefined) return false;
    const first = Math.ceil(from / SHEET_WORDS);
    const last = Math.min(Math.floor(to / SHEET_WORDS), ((from >>> DIRECTORY_BITS) + 1) * SHEET_WORDS);
    for (let sheet = first; sheet < last; sheet++) {
      const at = place(directory, sheet);
      if (this.#sheets[at] === UNKNOWN) Atomics.store(this.#sheets, at, HOLE);
    }
    return true;
  }

  /**
   * Gives a known hole that has no sheet one, so that it can be mapped. False where there is none to be had.
   */
  makeSheet(block: number, sheets: TableSheets): boolean {
    const directory = this.#directoryOf(block, sheets);
    if (directory === undefined) return false;
    const at = place(directory, block >>> SHEET_BITS);
    if (this.#sheets[at] !== HOLE) return true;
    const sheet = this.#take(HOLE, sheets);
    if (sheet === undefined) return false;
    Atomics.store(this.#sheets, at, sheet);
    return true;
  }

  /** What `forget` gives back. */
  get sheetCount(): number {
    return this.#sheetCount;
  }

  /**
   * A table of more blocks that takes over what this one knows, its sheets and `newlyMapped`; nothing is
   * dirty. No request is in flight.
   */
  grown(blocks: number): MappingTable {
    const larger = MappingTable.create(blocks, this.#sheets);
    larger.#root.set(this.#root);
    larger.#sheetCount = this.#sheetCount;
    Atomics.store(larger.#counters, NEWLY_MAPPED, this.newlyMapped);
    return larger;
  }

  /** Nothing is known any more. Nothing is dirty, and no request is in flight. */
  forget(sheets: TableSheets): void {
    for (const word of this.#root) if (word > HOLE) sheets.freeDirectory(word);
    this.#root.fill(UNKNOWN);
    this.#sheetCount = 0;
  }

  /** The sheet of the block's words, or UNKNOWN or HOLE, which all of them are. */
  #sheetOf(block: number): number {
    const directory = Atomics.load(this.#root, block >>> DIRECTORY_BITS);
    return directory <= HOLE ? directory : Atomics.load(this.#sheets, place(directory, block >>> SHEET_BITS));
  }

  /** The sheet of the directory, which is made where there is none. */
  #directoryOf(block: number, sheets: TableSheets): number | undefined {
    const at = block >>> DIRECTORY_BITS;
    const word = this.#root[at]!;
    if (word > HOLE) return word;
    const sheet = this.#take(word, sheets);
    if (sheet !== undefined) Atomics.store(this.#root, at, sheet);
    return sheet;
  }

  #take(word: number, sheets: TableSheets): number | undefined {
    const sheet = sheets.take(word);
    if (sheet !== undefined) this.#sheetCount++;
    return sheet;
  }
}

/** Of an entry of a sheet, by the last bits of its number. */
function place(sheet: number, entry: number): number {
  return sheet * SHEET_WORDS + (entry & (SHEET_WORDS - 1));
}

/** The word of a block that is mapped. */
export function mappedWord(chunk: ChunkId, shared: boolean): number {
  return (chunk + FIRST_CHUNK) | (shared ? SHARED : 0);
}

/** The chunk in a word that is neither UNKNOWN nor a hole. */
export function chunkOf(word: number): ChunkId {
  return chunkId((word & VALUE) - FIRST_CHUNK);
}

/** The word of the next block when that block's chunk is the next one too. */
export function successor(word: number): number {
  return word + 1;
}
