import { countPages } from '../format/chunk-patch.js';
import { chunkId, type ChunkId } from '../format/ids.js';
import { DirtyMap, threadInts, type DirtyMapMemory } from '../threads/dirty-map.js';
import { FreeRing, type FreeRingMemory } from '../threads/free-ring.js';
import { lock, unlock } from '../threads/spin-lock.js';
import type { Access, ChunkAccess } from './chunk-access.js';
import type { LogWriter } from './log-writer.js';
import { pageSize, pagesOf } from './pages.js';

export interface CacheMemory {
  readonly kind: 'cache';
  readonly chunkSize: number;
  /** One word a chunk of the pool: its frame + 1, or 0. */
  readonly index: Int32Array;
  readonly frames: Uint8Array;
  /** One word a frame, and so for the next four. */
  readonly locks: Int32Array;
  /** Bit n: page n was changed since the last commit took the frame. */
  readonly changed: Int32Array;
  readonly owners: Int32Array;
  /**
   * The chunk + 1 that the frame's was copied from, until a commit has seen to it; 0 for one that has no such
   * origin.
   */
  readonly origins: Int32Array;
  /**
   * Not 0: the frame's bytes came from a store elsewhere, and no commit has them so far. They are for reading
   * alone: the log could not tell what a change was made to.
   */
  readonly fetched: Int32Array;
  /** Touched since the clock hand went by. */
  readonly touched: Uint8Array;
  readonly dirty: DirtyMapMemory;
  readonly free: FreeRingMemory;
  /**
   * Word 0: what a commit would cost now, as `dirtyCost` has it. Word 1: how much it may be before writers
   * have to wait.
   */
  readonly limits: Int32Array;
}

export const DIRTY_COST = 0;
export const MOST_DIRTY = 1;

/**
 * Pages' worth of a value for the work of writing it at all; also bounds how many frames can be dirty at
 * once.
 */
export const VALUE_COST = 3;

/** Of writing the changed pages of one frame, in pages. */
export function dirtyCost(changed: number): number {
  return changed === 0 ? 0 : VALUE_COST + countPages(changed);
}

export function cacheMemory(shape: {
  chunkSize: number;
  chunks: number;
  frames: number;
  mostDirty: number;
}): CacheMemory {
  const { chunkSize, chunks, frames, mostDirty } = shape;
  const limits = threadInts(2);
  limits[MOST_DIRTY] = mostDirty;
  return {
    kind: 'cache',
    chunkSize,
    index: threadInts(chunks),
    frames: new Uint8Array(new SharedArrayBuffer(frames * chunkSize)),
    locks: threadInts(frames),
    changed: threadInts(frames),
    owners: threadInts(frames),
    origins: threadInts(frames),
    fetched: threadInts(frames),
    touched: new Uint8Array(new SharedArrayBuffer(frames)),
    dirty: DirtyMap.create(frames).memory,
    free: FreeRing.create(2 ** Math.ceil(Math.log2(frames + 1))).memory,
    limits,
  };
}

/**
 * Chunks in frames of shared memory, one frame for each chunk. A chunk that ten snapshots share is in memory
 * once. A frame that was changed stays until a commit has written it. Frames are given to other chunks only
 * when no request that might have seen them is in flight any more (RequestEpochs), so that reading takes no
 * lock; writers exclude the commit and the eviction by the frame's lock.
 */
export class CacheAccess implements ChunkAccess {
  readonly chunkSize: number;
  readonly contiguous = false;
  readonly isVolatile = true;
  readonly #memory: CacheMemory;
  readonly #log: LogWriter | undefined;
  readonly #frames: Buffer;
  readonly #dirty: DirtyMap;
  readonly #free: FreeRing;
  readonly #page: number;

  constructor(memory: CacheMemory, log?: LogWriter) {
    this.#memory = memory;
    this.#log = log;
    this.chunkSize = memory.chunkSize;
    this.#frames = Buffer.from(memory.frames.buffer, memory.frames.byteOffset, memory.frames.byteLength);
    this.#dirty = new DirtyMap(memory.dirty);
    this.#free = new FreeRing(memory.free);
    this.#page = pageSize(memory.chunkSize);
  }

  /** No range runs from one chunk into the next. */
  isAway(): boolean {
    return false;
  }

  read(chunk: ChunkId, within: number, into: Uint8Array, at: number, length: number): Access {
    const frame = this.#frameOf(chunk);
    if (frame === undefined) return 'missing';
    this.#memory.touched[frame] = 1;
    const start = frame * this.chunkSize + within;
    this.#frames.copy(into, at, start, start + length);
    return 'done';
  }

  overwrite(chunk: ChunkId, within: number, from: Uint8Array, at: number, length: number): Access {
    const { locks, index, touched } = this.#memory;
    if (this.#mustWait()) return 'no-room';
    const frame = this.#frameOf(chunk);
    if (frame === undefined) return 'missing';
    lock(locks, frame);
    try {
      // Evicted between the look and the lock.
      if (Atomics.load(index, chunk) !== frame + 1 || this.#isFetched(frame)) return 'missing';
      touched[frame] = 1;
      this.#frames.set(part(from, at, length), frame * this.chunkSize + within);
      this.#change(frame, pagesOf(within, length, this.#page));
    } finally {
      unlock(locks, frame);
    }
    this.#log?.data(chunk, within, from, at, length);
    return 'done';
  }

  provision(chunk: ChunkId, within: number, from: Uint8Array, at: number, length: number): Access {
    const frame = this.#take();
    if (frame === undefined) return 'no-room';
    const start = frame * this.chunkSize;
    if (length < this.chunkSize) this.#frames.fill(0, start, start + this.chunkSize);
    Atomics.store(this.#memory.origins, frame, 0);
    this.#publish(frame, chunk, within, part(from, at, length), 0, this.chunkSize);
    return 'done';
  }

  copy(
    origin: ChunkId,
    chunk: ChunkId,
    within: number,
    from: Uint8Array,
    at: number,
    length: number,
  ): Access {
    const source = this.#frameOf(origin);
    if (source === undefined || this.#isFetched(source)) return 'missing';
    const frame = this.#take();
    if (frame === undefined) return 'no-room';
    const start = source * this.chunkSize;
    this.#memory.touched[source] = 1;
    this.#frames.copyWithin(frame * this.chunkSize, start, start + this.chunkSize);
    Atomics.store(this.#memory.origins, frame, origin + 1);
    this.#publish(frame, chunk, within, part(from, at, length), within, length);
    return 'done';
  }

  /** Frames are whole. */
  partOf(): undefined {
    return undefined;
  }

  #frameOf(chunk: ChunkId): number | undefined {
    const word = Atomics.load(this.#memory.index, chunk);
    return word === 0 ? undefined : word - 1;
  }

  #isFetched(frame: number): boolean {
    return Atomics.load(this.#memory.fetched, frame) !== 0;
  }

  #mustWait(): boolean {
    const { limits } = this.#memory;
    return Atomics.load(limits, DIRTY_COST) >= Atomics.load(limits, MOST_DIRTY);
  }

  #take(): number | undefined {
    return this.#mustWait() ? undefined : this.#free.take();
  }

  #publish(
    frame: number,
    chunk: ChunkId,
    within: number,
    bytes: Uint8Array,
    changedFrom: number,
    changed: number,
  ): void {
    const { owners, index, touched } = this.#memory;
    this.#frames.set(bytes, frame * this.chunkSize + within);
    touched[frame] = 1;
    Atomics.store(owners, frame, chunk);
    Atomics.store(index, chunk, frame + 1);
    this.#change(frame, pagesOf(changedFrom, changed, this.#page));
  }

  #change(frame: number, pages: number): void {
    const { changed, limits } = this.#memory;
    const before = Atomics.or(changed, frame, pages);
    const cost = dirtyCost(before | pages) - dirtyCost(before);
    if (cost !== 0) Atomics.add(limits, DIRTY_COST, cost);
    this.#dirty.mark(frame);
  }
}

/** A commit should begin, so that writers need not wait for it. */
export function isHalfDirty({ limits }: CacheMemory): boolean {
  return 2 * Atomics.load(limits, DIRTY_COST) >= Atomics.load(limits, MOST_DIRTY);
}

/** How much waits for a commit, of what may; 1: writers have to wait for it. */
export function dirtiness({ limits }: CacheMemory): number {
  return Atomics.load(limits, DIRTY_COST) / Atomics.load(limits, MOST_DIRTY);
}

/** The chunk that a frame holds. */
export function ownerOf(memory: CacheMemory, frame: number): ChunkId {
  return chunkId(Atomics.load(memory.owners, frame));
}

function part(from: Uint8Array, at: number, length: number): Uint8Array {
  return at === 0 && length === from.length ? from : from.subarray(at, at + length);
}
