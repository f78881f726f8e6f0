import { chunkId, type ChunkId } from '../format/ids.js';
import { DirtyMap, sharedInts, type DirtyMapMemory } from '../shared/dirty-map.js';
import { nap } from '../shared/request-epochs.js';
import { PAGE_WORDS, type TablePages } from './table-pages.js';

/**
 * word := 0                       not known: the tree was not asked yet
 *       | [LOCK] HOLE             unmapped
 *       | [LOCK] [SHARED] chunk + 2
 *
 * A word under LOCK keeps its old value until the new one is published: readers go on with it. The words of
 * 1024 blocks are a page; where all of them are unknown, or holes, there is none, and their directory has
 * that in the page's place. It is so with directories, too, and the root's words.
 */
export const UNKNOWN = 0;
export const HOLE = 1;
export const SHARED = 1 << 30;
const LOCK = 1 << 31;
const FIRST_CHUNK = 2;
const VALUE = SHARED - 1;

const PAGE_BITS = Math.log2(PAGE_WORDS);
const DIRECTORY_BITS = 2 * PAGE_BITS;
/** Blocks below a page of a directory. */
const DIRECTORY_BLOCKS = 2 ** DIRECTORY_BITS;

/** What another thread needs to use the table of a device. */
export interface TableMemory {
  /**
   * A word for each directory: UNKNOWN, HOLE, or the number of its page, whose words are the same for the
   * pages of blocks.
   */
  readonly root: Int32Array;
  readonly pages: Int32Array;
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
 * them up, and changes one that it has locked. Costs memory where blocks are mapped and somebody has looked,
 * whatever the size of the device.
 */
export class SharedTable {
  readonly memory: TableMemory;
  readonly #root: Int32Array;
  readonly #pages: Int32Array;
  readonly #dirty: DirtyMap;
  readonly #counters: Int32Array;
  #pageCount = 0;

  constructor(memory: TableMemory) {
    this.memory = memory;
    this.#root = memory.root;
    this.#pages = memory.pages;
    this.#dirty = new DirtyMap(memory.dirty);
    this.#counters = memory.counters;
  }

  /** Nothing is known. */
  static create(blocks: number, pages: Int32Array): SharedTable {
    return new SharedTable({
      root: sharedInts(Math.ceil(blocks / DIRECTORY_BLOCKS)),
      pages,
      dirty: DirtyMap.create(blocks).memory,
      counters: sharedInts(2),
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
    const page = this.#pageOf(block);
    return page <= HOLE ? page : Atomics.load(this.#pages, place(page, block)) & ~LOCK;
  }

  /** Whether a hole can be locked, and so mapped; where not, the pool thread makes the page. */
  hasPage(block: number): boolean {
    return this.#pageOf(block) > HOLE;
  }

  /** False where the word is locked, not `word` any more, or has no page. */
  tryLock(block: number, word: number): boolean {
    const page = this.#pageOf(block);
    if (page <= HOLE) return false;
    return Atomics.compareExchange(this.#pages, place(page, block), word, word | LOCK) === word;
  }

  /** Locks whatever the word is, and returns it. The block has a page. */
  lock(block: number): number {
    for (let spins = 0; ; spins++) {
      const word = this.load(block);
      if (this.tryLock(block, word)) return word;
      if (spins > SPINS) nap();
    }
  }

  /** Leaves a locked word as it was. */
  unlock(block: number): void {
    Atomics.and(this.#pages, place(this.#pageOf(block), block), ~LOCK);
  }

  /** Ends a lock with a mapping of the device's own, or none. */
  publish(block: number, chunk: ChunkId | undefined): void {
    const at = place(this.#pageOf(block), block);
    const before = Atomics.load(this.#pages, at) & ~LOCK;
    Atomics.store(this.#pages, at, chunk === undefined ? HOLE : chunk + FIRST_CHUNK);
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
    const page = this.#pageOf(block);
    let next = (block >>> PAGE_BITS) + 1;
    if (page > HOLE) return { known: 'words', end: next * PAGE_WORDS };
    while (next % PAGE_WORDS !== 0 && this.#pages[place(directory, next)] === page) next++;
    return { known: page === HOLE ? 'holes' : 'nothing', end: next * PAGE_WORDS };
  }

  /**
   * The words of the page around a block of which nothing was known.
   * @returns false where there is no page to be had
   */
  fillPage(block: number, words: Int32Array, pages: TablePages): boolean {
    const directory = this.#directoryOf(block, pages);
    const page = directory === undefined ? undefined : this.#take(HOLE, pages);
    if (directory === undefined || page === undefined) return false;
    this.#pages.set(words, page * PAGE_WORDS);
    // Threads find the page by this word, and with it what was put in before.
    Atomics.store(this.#pages, place(directory, block >>> PAGE_BITS), page);
    return true;
  }

  /**
   * The tree maps nothing in [from, to): whole pages and directories in there of which nothing was known are
   * holes.
   * @returns false where there is no page to be had
   */
  fillHoles(from: number, to: number, pages: TablePages): boolean {
    const end = Math.min(Math.floor(to / DIRECTORY_BLOCKS), this.#root.length);
    for (let at = Math.ceil(from / DIRECTORY_BLOCKS); at < end; at++)
      if (this.#root[at] === UNKNOWN) Atomics.store(this.#root, at, HOLE);
    if (this.#root[from >>> DIRECTORY_BITS] === HOLE) return true;
    const directory = this.#directoryOf(from, pages);
    if (directory === undefined) return false;
    const first = Math.ceil(from / PAGE_WORDS);
    const last = Math.min(Math.floor(to / PAGE_WORDS), ((from >>> DIRECTORY_BITS) + 1) * PAGE_WORDS);
    for (let page = first; page < last; page++) {
      const at = place(directory, page);
      if (this.#pages[at] === UNKNOWN) Atomics.store(this.#pages, at, HOLE);
    }
    return true;
  }

  /**
   * Gives a known hole that has no page one, so that it can be mapped. False where there is none to be had.
   */
  makePage(block: number, pages: TablePages): boolean {
    const directory = this.#directoryOf(block, pages);
    if (directory === undefined) return false;
    const at = place(directory, block >>> PAGE_BITS);
    if (this.#pages[at] !== HOLE) return true;
    const page = this.#take(HOLE, pages);
    if (page === undefined) return false;
    Atomics.store(this.#pages, at, page);
    return true;
  }

  /** What `forget` gives back. */
  get pageCount(): number {
    return this.#pageCount;
  }

  /**
   * A table of more blocks that takes over what this one knows, its pages and `newlyMapped`; nothing is
   * dirty. No request is in flight.
   */
  grown(blocks: number): SharedTable {
    const larger = SharedTable.create(blocks, this.#pages);
    larger.#root.set(this.#root);
    larger.#pageCount = this.#pageCount;
    Atomics.store(larger.#counters, NEWLY_MAPPED, this.newlyMapped);
    return larger;
  }

  /** Nothing is known any more. Nothing is dirty, and no request is in flight. */
  forget(pages: TablePages): void {
    for (const word of this.#root) if (word > HOLE) pages.freeDirectory(word);
    this.#root.fill(UNKNOWN);
    this.#pageCount = 0;
  }

  /** The page of the block's words, or UNKNOWN or HOLE, which all of them are. */
  #pageOf(block: number): number {
    const directory = Atomics.load(this.#root, block >>> DIRECTORY_BITS);
    return directory <= HOLE ? directory : Atomics.load(this.#pages, place(directory, block >>> PAGE_BITS));
  }

  /** The page of the directory, which is made where there is none. */
  #directoryOf(block: number, pages: TablePages): number | undefined {
    const at = block >>> DIRECTORY_BITS;
    const word = this.#root[at]!;
    if (word > HOLE) return word;
    const page = this.#take(word, pages);
    if (page !== undefined) Atomics.store(this.#root, at, page);
    return page;
  }

  #take(word: number, pages: TablePages): number | undefined {
    const page = pages.take(word);
    if (page !== undefined) this.#pageCount++;
    return page;
  }
}

/** Of an entry of a page, by the last bits of its number. */
function place(page: number, entry: number): number {
  return page * PAGE_WORDS + (entry & (PAGE_WORDS - 1));
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
