import { chunkId, type ChunkId } from '../format/ids.js';
import { DirtyMap, sharedInts, type DirtyMapMemory } from '../shared/dirty-map.js';
import { nap } from '../shared/request-epochs.js';

/**
 * word := 0                       not known: the page of the tree was not read yet
 *       | [LOCK] HOLE             unmapped
 *       | [LOCK] [SHARED] chunk + 2
 *
 * A word under LOCK keeps its old value until the new one is published: readers go on with it.
 */
export const UNKNOWN = 0;
export const HOLE = 1;
export const SHARED = 1 << 30;
const LOCK = 1 << 31;
const FIRST_CHUNK = 2;
const VALUE = SHARED - 1;

/** What another thread needs to use the table of a device. */
export interface TableMemory {
  readonly words: Int32Array;
  readonly dirty: DirtyMapMemory;
  readonly counters: Int32Array;
}

const DIRTY_COUNT = 0;
const NEWLY_MAPPED = 1;
const SPINS = 200;

/**
 * An active device's mappings unfolded, one 32-bit word a virtual block, in shared memory: any thread looks them up, and changes one that
 * it has locked. Untouched pages of a large device cost no memory.
 */
export class SharedTable {
  readonly memory: TableMemory;
  readonly #words: Int32Array;
  readonly #dirty: DirtyMap;
  readonly #counters: Int32Array;

  constructor(memory: TableMemory) {
    this.memory = memory;
    this.#words = memory.words;
    this.#dirty = new DirtyMap(memory.dirty);
    this.#counters = memory.counters;
  }

  static create(blocks: number): SharedTable {
    return new SharedTable({
      words: sharedInts(blocks),
      dirty: DirtyMap.create(blocks).memory,
      counters: sharedInts(2),
    });
  }

  /** Blocks whose mapping changed since the last `takeDirty`. */
  get dirtyCount(): number {
    return Atomics.load(this.#counters, DIRTY_COUNT);
  }

  /** Blocks mapped less blocks unmapped since the last `takeNewlyMapped`. */
  get newlyMapped(): number {
    return Atomics.load(this.#counters, NEWLY_MAPPED);
  }

  /** The word without its lock. */
  load(block: number): number {
    return Atomics.load(this.#words, block) & ~LOCK;
  }

  /** False where the word is locked or not `word` any more. */
  tryLock(block: number, word: number): boolean {
    return Atomics.compareExchange(this.#words, block, word, word | LOCK) === word;
  }

  /** Locks whatever the word is, and returns it. */
  lock(block: number): number {
    for (let spins = 0; ; spins++) {
      const word = this.load(block);
      if (this.tryLock(block, word)) return word;
      if (spins > SPINS) nap();
    }
  }

  /** Leaves a locked word as it was. */
  unlock(block: number): void {
    Atomics.and(this.#words, block, ~LOCK);
  }

  /** Ends a lock with a mapping of the device's own, or none. */
  publish(block: number, chunk: ChunkId | undefined): void {
    const before = this.load(block);
    Atomics.store(this.#words, block, chunk === undefined ? HOLE : chunk + FIRST_CHUNK);
    const delta = (chunk === undefined ? 0 : 1) - (before === HOLE ? 0 : 1);
    if (delta !== 0) Atomics.add(this.#counters, NEWLY_MAPPED, delta);
    this.markDirty(block);
  }

  markDirty(block: number): void {
    if (this.#dirty.mark(block)) Atomics.add(this.#counters, DIRTY_COUNT, 1);
  }

  /** Changed blocks, ascending. */
  takeDirty(): readonly number[] {
    const blocks = this.#dirty.take();
    Atomics.sub(this.#counters, DIRTY_COUNT, blocks.length);
    return blocks;
  }

  takeNewlyMapped(): number {
    return Atomics.exchange(this.#counters, NEWLY_MAPPED, 0);
  }

  /** What the tree says of a block that was not known. */
  fill(block: number, chunk: ChunkId | undefined, shared: boolean): void {
    const word = chunk === undefined ? HOLE : (chunk + FIRST_CHUNK) | (shared ? SHARED : 0);
    Atomics.compareExchange(this.#words, block, UNKNOWN, word);
  }

  /** A larger table with the same words and nothing dirty; `newlyMapped` goes along. No request is in flight. */
  grown(blocks: number): SharedTable {
    const larger = SharedTable.create(blocks);
    larger.#words.set(this.#words);
    Atomics.store(larger.#counters, NEWLY_MAPPED, this.newlyMapped);
    return larger;
  }
}

/** The chunk in a word that is neither UNKNOWN nor a hole. */
export function chunkOf(word: number): ChunkId {
  return chunkId((word & VALUE) - FIRST_CHUNK);
}

/** The word of the next block when that block's chunk is the next one too. */
export function successor(word: number): number {
  return word + 1;
}
