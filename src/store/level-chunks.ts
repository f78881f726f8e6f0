import { ThinError } from '../errors/thin-error.js';
import type { ChunkId } from '../format/ids.js';
import { chunkKey, describeKey } from '../format/keys.js';
import { SEAL_BYTES, checkChunk, sealChunk } from '../format/seal.js';
import { DirtyMap } from '../shared/dirty-map.js';
import { FreeRing } from '../shared/free-ring.js';
import type { RequestEpochs } from '../shared/request-epochs.js';
import { lock, unlock } from '../shared/spin-lock.js';
import {
  CacheAccess,
  cacheMemory,
  DIRTY_FRAMES,
  isHalfDirty,
  MOST_DIRTY,
  ownerOf,
  type CacheMemory,
} from './cache-access.js';
import type { ChunkCommit, ChunkStore } from './chunk-store.js';
import type { KeyValue, KvOperation } from './key-value.js';

export interface LevelChunksOptions {
  readonly chunkSize: number;
  /** Chunks that the pool can have. */
  readonly chunks: number;
  /** Bytes of frames. Never less than what may be dirty at once and as much again. */
  readonly cacheBytes: number;
  /** Bytes of dirty frames at which a commit is begun; at twice that, writers wait for it. */
  readonly stagedBytes: number;
  readonly epochs: RequestEpochs;
  /** Makes dirty frames clean. */
  readonly commit: () => Promise<void>;
}

/** Frames that are freed at a time. */
const SPARE_FRAMES = 64;
/** Bytes; as many frames when they are large. */
const SPARE_BYTES = 4 * 2 ** 20;

/**
 * Chunks as values in the key-value store, behind a cache in shared memory with write-back: many small writes to one chunk between two
 * commits cost one value.
 */
export class LevelChunks implements ChunkStore {
  readonly chunkSize: number;
  readonly memory: CacheMemory;
  readonly access: CacheAccess;
  readonly needsSync = false;
  readonly #store: KeyValue;
  readonly #options: LevelChunksOptions;
  readonly #dirty: DirtyMap;
  readonly #free: FreeRing;
  readonly #frames: number;
  readonly #spare: number;
  /** On their way to the store, which does not have them yet. */
  #committing = new Set<number>();
  /** Mapped by nobody, and perhaps still under a late writer. */
  readonly #dropped = new Set<ChunkId>();
  #hand = 0;

  constructor(store: KeyValue, options: LevelChunksOptions) {
    const { chunkSize, chunks, cacheBytes, stagedBytes } = options;
    const mostDirty = Math.max(1, Math.floor((2 * stagedBytes) / chunkSize));
    this.#spare = Math.min(SPARE_FRAMES, Math.max(1, SPARE_BYTES / chunkSize));
    this.#frames = Math.max(Math.floor(cacheBytes / chunkSize), 2 * mostDirty + this.#spare);
    this.#store = store;
    this.#options = options;
    this.chunkSize = chunkSize;
    this.memory = cacheMemory({ chunkSize, chunks, frames: this.#frames, mostDirty });
    this.access = new CacheAccess(this.memory);
    this.#dirty = new DirtyMap(this.memory.dirty);
    this.#free = new FreeRing(this.memory.free);
    for (let frame = 0; frame < this.#frames; frame++) this.#free.put(frame);
  }

  get isDirty(): boolean {
    return this.#dirtyFrames > 0;
  }

  get wantsCommit(): boolean {
    return isHalfDirty(this.memory);
  }

  bring(chunk: ChunkId): Promise<void> | undefined {
    const { index, owners, touched, frames } = this.memory;
    if (Atomics.load(index, chunk) !== 0) return undefined;
    const frame = this.#free.take() ?? this.#evict();
    if (frame === undefined) return this.#options.commit();
    try {
      frames.set(this.#load(chunk), frame * this.chunkSize);
    } catch (error) {
      this.#free.put(frame);
      throw error;
    }
    touched[frame] = 1;
    Atomics.store(owners, frame, chunk);
    Atomics.store(index, chunk, frame + 1);
    return undefined;
  }

  makeRoom(): Promise<void> | undefined {
    if (this.#dirtyFrames >= Atomics.load(this.memory.limits, MOST_DIRTY)) return this.#options.commit();
    if (this.#free.count > 0) return undefined;
    const frame = this.#evict();
    if (frame === undefined) return this.#options.commit();
    this.#free.put(frame);
    return undefined;
  }

  drop(chunk: ChunkId): void {
    this.#dropped.add(chunk);
  }

  recycle(chunks: readonly ChunkId[]): Promise<void> {
    for (const chunk of chunks) {
      this.#dropped.delete(chunk);
      const frame = Atomics.exchange(this.memory.index, chunk, 0) - 1;
      if (frame < 0) continue;
      this.#clean(frame);
      // A batch that is on its way has its own copy.
      this.#committing.delete(frame);
      this.#free.put(frame);
    }
    return Promise.resolve();
  }

  takeZeroed(): boolean {
    return false;
  }

  collect(freed: readonly ChunkId[]): ChunkCommit {
    for (const chunk of freed) this.drop(chunk);
    const operations: KvOperation[] = freed.map((chunk) => ({ type: 'del', key: chunkKey(chunk) }));
    const taken: number[] = [];
    for (const frame of this.#dirty.take()) {
      const chunk = ownerOf(this.memory, frame);
      if (this.#dropped.has(chunk)) {
        this.#clean(frame);
        continue;
      }
      const value = this.#takeChanged(frame);
      if (value === undefined) continue;
      sealChunk(value, chunk);
      operations.push({ type: 'put', key: chunkKey(chunk), value });
      taken.push(frame);
    }
    this.#committing = new Set(taken);
    return {
      operations,
      sync: () => Promise.resolve(),
      settle: () => {
        this.#committing = new Set();
      },
      undo: () => {
        for (const frame of this.#committing) this.#markAll(frame);
        this.#committing = new Set();
      },
    };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  get #dirtyFrames(): number {
    return Atomics.load(this.memory.limits, DIRTY_FRAMES);
  }

  /** The frame's bytes with room for a seal, and the frame is clean; undefined where it was. */
  #takeChanged(frame: number): Uint8Array | undefined {
    const { locks, frames } = this.memory;
    lock(locks, frame);
    try {
      if (!this.#clean(frame)) return undefined;
      const value = new Uint8Array(this.chunkSize + SEAL_BYTES);
      value.set(frames.subarray(frame * this.chunkSize, (frame + 1) * this.chunkSize));
      return value;
    } finally {
      unlock(locks, frame);
    }
  }

  /** Whether it was dirty. */
  #clean(frame: number): boolean {
    if (Atomics.exchange(this.memory.changed, frame, 0) === 0) return false;
    Atomics.sub(this.memory.limits, DIRTY_FRAMES, 1);
    return true;
  }

  #markAll(frame: number): void {
    if (Atomics.exchange(this.memory.changed, frame, -1) === 0)
      Atomics.add(this.memory.limits, DIRTY_FRAMES, 1);
    this.#dirty.mark(frame);
  }

  #load(chunk: ChunkId): Uint8Array {
    const key = chunkKey(chunk);
    const value = this.#store.getSync(key);
    if (value === undefined) throw new ThinError('damaged', `${describeKey(key)}: missing`);
    checkChunk(value, chunk, this.chunkSize, describeKey(key));
    return value.subarray(0, this.chunkSize);
  }

  /** A free frame, and some more in the ring for threads that cannot wait. */
  #evict(): number | undefined {
    const [one, ...rest] = this.#unpublish(this.#spare);
    if (one === undefined) return undefined;
    // Requests on frames wait for nothing, so this is over in microseconds.
    this.#options.epochs.waitQuiet();
    for (const frame of rest) this.#free.put(frame);
    return one;
  }

  /** Clean frames that no new request will find, by the clock: those that were not touched since the hand went by. */
  #unpublish(most: number): number[] {
    const { touched, index, locks, changed } = this.memory;
    const found: number[] = [];
    for (let step = 0; step < 2 * this.#frames && found.length < Math.min(most, this.#frames >> 2); step++) {
      const frame = this.#hand;
      this.#hand = (this.#hand + 1) % this.#frames;
      const chunk = ownerOf(this.memory, frame);
      if (Atomics.load(index, chunk) !== frame + 1 || this.#committing.has(frame)) continue;
      if (touched[frame] !== 0) {
        touched[frame] = 0;
        continue;
      }
      lock(locks, frame);
      if (Atomics.load(changed, frame) === 0) {
        Atomics.store(index, chunk, 0);
        found.push(frame);
      }
      unlock(locks, frame);
    }
    return found;
  }
}
