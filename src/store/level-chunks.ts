import { chunkId, type ChunkId } from '../format/ids.js';
import { DirtyMap } from '../threads/dirty-map.js';
import { FreeRing } from '../threads/free-ring.js';
import type { RequestEpochs } from '../threads/request-epochs.js';
import { lock, unlock } from '../threads/spin-lock.js';
import {
  CacheAccess,
  cacheMemory,
  DIRTY_COST,
  dirtyCost,
  isHalfDirty,
  MOST_DIRTY,
  ownerOf,
  VALUE_COST,
  type CacheMemory,
} from './cache-access.js';
import { ChunkLoads, type LoadedChunk } from './chunk-loads.js';
import type { ChunkCommit, ChunkStore, PartialChunks, RemoteChunks } from './chunk-store.js';
import {
  copyPatch,
  copyWhole,
  deleteChunk,
  PackingTrend,
  putChanges,
  readPartial,
  readWithPatch,
  type ChunkChange,
  type Compression,
} from './chunk-values.js';
import type { KeyValue } from './key-value.js';
import { countHeld, moveFrames } from './move-frames.js';
import type { PoolLog } from './pool-log.js';
import { areFew, pageSize, pagesOf } from './pages.js';
import { ValueSlabs } from './value-slabs.js';

export interface LevelChunksOptions {
  readonly chunkSize: number;
  /** Chunks that the pool can have. */
  readonly chunks: number;
  /** Bytes of frames. Never less than what may be dirty at once and as much again. */
  readonly cacheBytes: number;
  /**
   * Bytes of dirty pages, and what goes with them, at which a commit is begun; at twice that, writers wait
   * for it.
   */
  readonly stagedBytes: number;
  /** The same for a cache of another size. Default: it stays. */
  readonly stagedOf?: ((cacheBytes: number) => number) | undefined;
  readonly partial: PartialChunks;
  readonly remote: RemoteChunks;
  /** How values are written from now on; asked for each commit. */
  readonly compression: () => Compression;
  readonly epochs: RequestEpochs;
  readonly log?: PoolLog | undefined;
  /** Whether the open transaction has a mapping to the chunk. */
  readonly isCounted: (chunk: ChunkId) => boolean;
  /** Makes dirty frames clean. */
  readonly commit: () => Promise<void>;
}

interface Cache {
  readonly memory: CacheMemory;
  readonly access: CacheAccess;
  readonly dirty: DirtyMap;
  readonly free: FreeRing;
  readonly frames: number;
  /** Frames that are freed at a time. */
  readonly spare: number;
}

/** Frames that are freed at a time. */
const SPARE_FRAMES = 64;
/** Bytes; as many frames when they are large. */
const SPARE_BYTES = 4 * 2 ** 20;

/**
 * Chunks as values in the key-value store, behind a cache in shared memory with write-back: many small writes
 * to one chunk between two commits cost one value, and a few pages of a chunk are written as a patch of it.
 */
export class LevelChunks implements ChunkStore {
  readonly chunkSize: number;
  readonly needsSync = false;
  readonly #store: KeyValue;
  readonly #options: LevelChunksOptions;
  readonly #loads = new ChunkLoads({
    read: (chunk) => this.#read(chunk),
    place: (chunk, loaded) => this.#place(chunk, loaded),
  });
  #cache: Cache;
  /** On their way to the store, which does not have them yet. */
  #committing = new Set<number>();
  readonly #page: number;
  readonly #trend = new PackingTrend();
  readonly #slabs = new ValueSlabs();
  readonly #allPages: number;
  /**
   * Pages of a frame in which its chunk differs from the whole value below it, as far as commits have seen.
   */
  #patched: Int32Array;
  /** Not mapped by any device, and perhaps still under a late writer. */
  readonly #dropped = new Set<ChunkId>();
  /** Dropped, and not deleted from the store so far. */
  #forgotten: ChunkId[] = [];
  #prepared: {
    readonly chunk: ChunkId;
    readonly frame: number;
    readonly change: ChunkChange | undefined;
  }[] = [];
  #hand = 0;

  constructor(store: KeyValue, options: LevelChunksOptions) {
    const { chunkSize, cacheBytes, stagedBytes } = options;
    this.#page = pageSize(chunkSize);
    this.#allPages = pagesOf(0, chunkSize, this.#page);
    this.#store = store;
    this.#options = options;
    this.chunkSize = chunkSize;
    this.#cache = this.#makeCache(cacheBytes, stagedBytes);
    this.#patched = new Int32Array(this.#frames);
    for (let frame = 0; frame < this.#frames; frame++) this.#free.put(frame);
  }

  get memory(): CacheMemory {
    return this.#cache.memory;
  }

  get access(): CacheAccess {
    return this.#cache.access;
  }

  resizeCache(bytes: number): void {
    const before = this.#cache;
    const { stagedBytes, stagedOf = () => stagedBytes } = this.#options;
    // What a commit has to write stays, though it is more than the new size has room for.
    const held = countHeld(before.memory, (frame) => this.#committing.has(frame));
    const cache = this.#makeCache(bytes, stagedOf(bytes), held);
    if (cache.frames === before.frames) return;
    const isHeld = (frame: number): boolean => this.#committing.has(frame);
    const moved = moveFrames(before.memory, cache.memory, { spare: cache.spare, isHeld });
    const patched = new Int32Array(cache.frames);
    for (const [frame, now] of moved) patched[now] = this.#patched[frame]!;
    for (let frame = moved.size; frame < cache.frames; frame++) cache.free.put(frame);
    this.#patched = patched;
    this.#committing = new Set([...this.#committing].flatMap((frame) => moved.get(frame) ?? []));
    this.#hand = 0;
    this.#cache = cache;
  }

  get isDirty(): boolean {
    return this.#dirtyCost > 0;
  }

  get wantsCommit(): boolean {
    return isHalfDirty(this.memory);
  }

  bring(chunk: ChunkId): Promise<void> | undefined {
    const { index, fetched } = this.memory;
    const there = Atomics.load(index, chunk) - 1;
    // A writer waits until the fetched bytes are durable.
    if (there >= 0) return Atomics.load(fetched, there) === 0 ? undefined : this.#options.commit();
    if (this.#options.remote.isRemote(chunk)) return this.#options.remote.fetch(chunk);
    return this.#loads.bring(chunk);
  }

  isMissing(chunk: ChunkId): boolean {
    return Atomics.load(this.memory.index, chunk) === 0;
  }

  isAway(chunk: ChunkId): boolean {
    return this.isMissing(chunk) && this.#options.remote.isRemote(chunk);
  }

  makeRemote(): void {
    // What has no value and no frame is missing already.
  }

  land(chunk: ChunkId, bytes: Uint8Array, keep: boolean): Promise<void> | undefined {
    if (!this.isAway(chunk)) return undefined;
    // What was fetched goes in small commits: each copies, packs and hands over all that waits for it.
    if (keep && this.wantsCommit) return this.#options.commit();
    const frame = this.#fill(chunk, { data: bytes, patched: 0 }, keep);
    if (frame === undefined) return this.#options.commit();
    if (keep) this.#markAll(frame);
    return undefined;
  }

  makeRoom(): Promise<void> | undefined {
    if (this.#dirtyCost >= Atomics.load(this.memory.limits, MOST_DIRTY)) return this.#options.commit();
    if (this.#free.count > 0) return undefined;
    const frame = this.#evict();
    if (frame === undefined) return this.#options.commit();
    this.#free.put(frame);
    return undefined;
  }

  drop(chunk: ChunkId): void {
    this.#loads.forget(chunk);
    this.#dropped.add(chunk);
    this.#forgotten.push(chunk);
  }

  recycle(chunks: readonly ChunkId[]): Promise<void> {
    for (const chunk of chunks) {
      this.#loads.forget(chunk);
      this.#dropped.delete(chunk);
      const frame = Atomics.exchange(this.memory.index, chunk, 0) - 1;
      if (frame < 0) continue;
      Atomics.store(this.memory.fetched, frame, 0);
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

  takeBacking(chunk: ChunkId): ChunkId | undefined {
    const { index, origins, changed } = this.memory;
    const frame = Atomics.load(index, chunk) - 1;
    if (frame < 0) return undefined;
    const origin = Atomics.exchange(origins, frame, 0) - 1;
    if (origin < 0) return undefined;
    const backing = this.#options.partial.backingOf(chunkId(origin));
    // Where the origin is partial itself, both have the same backing, and the copy also differs from it where
    // the origin does.
    const below = backing === undefined ? 0 : this.#pagesOf(chunkId(origin));
    if (below === undefined || !areFew(below | Atomics.load(changed, frame), this.#allPages)) {
      this.#markAll(frame);
      return undefined;
    }
    this.#patched[frame] = below;
    return backing ?? chunkId(origin);
  }

  async consolidate(chunk: ChunkId): Promise<void> {
    const isHere = (): boolean => Atomics.load(this.memory.index, chunk) !== 0;
    // Each wait may lose what the one before it brought.
    while (!isHere() || this.#dirtyCost >= Atomics.load(this.memory.limits, MOST_DIRTY)) {
      await this.bring(chunk);
      await this.makeRoom();
    }
    this.#markAll(Atomics.load(this.memory.index, chunk) - 1);
  }

  prepare(): void {
    this.#prepared = [];
    const unmapped: number[] = [];
    for (const frame of this.#dirty.take()) {
      const chunk = ownerOf(this.memory, frame);
      if (this.#dropped.has(chunk)) this.#clean(frame);
      // Another thread mapped it after the mappings were applied. If it went with this commit and not the
      // next, a crash would leave a chunk that no device maps.
      else if (!this.#options.isCounted(chunk)) unmapped.push(frame);
      else this.#prepared.push({ chunk, frame, change: this.#takeChanged(frame, chunk) });
    }
    for (const frame of unmapped) this.#dirty.mark(frame);
  }

  collect(freed: readonly ChunkId[]): ChunkCommit {
    for (const chunk of freed) this.drop(chunk);
    const deleted = this.#forgotten;
    this.#forgotten = [];
    const prepared = this.#prepared.filter(({ chunk }) => !this.#dropped.has(chunk));
    this.#prepared = [];
    this.#committing = new Set(prepared.map(({ frame }) => frame));
    return {
      operations: async () => [
        ...deleted.flatMap((chunk) => deleteChunk(chunk)),
        ...(await putChanges(
          prepared.flatMap(({ change }) => change ?? []),
          this.#options.compression(),
          this.#trend,
        )),
      ],
      settle: () => {
        for (const frame of this.#committing) Atomics.store(this.memory.fetched, frame, 0);
        this.#committing = new Set();
        this.#slabs.release();
      },
      undo: () => {
        for (const frame of this.#committing) this.#markAll(frame);
        this.#committing = new Set();
        this.#forgotten.push(...deleted);
        this.#slabs.release();
      },
    };
  }

  sync(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.#loads.end();
    this.#slabs.close();
    return Promise.resolve();
  }

  #makeCache(bytes: number, stagedBytes: number, held = 0): Cache {
    const { chunks, log } = this.#options;
    const cached = Math.floor(bytes / this.chunkSize);
    const spare = Math.max(1, Math.min(SPARE_FRAMES, Math.floor(SPARE_BYTES / this.chunkSize), cached >> 2));
    const mostDirty = Math.max(1, Math.floor((2 * stagedBytes) / this.#page));
    const dirtyFrames = Math.ceil(mostDirty / (VALUE_COST + 1));
    const frames = Math.max(cached, 2 * dirtyFrames + spare, held + spare);
    const memory = cacheMemory({ chunkSize: this.chunkSize, chunks, frames, mostDirty });
    return {
      ...{ memory, frames, spare },
      access: new CacheAccess(memory, log?.writer),
      dirty: new DirtyMap(memory.dirty),
      free: new FreeRing(memory.free),
    };
  }

  get #dirty(): DirtyMap {
    return this.#cache.dirty;
  }

  get #free(): FreeRing {
    return this.#cache.free;
  }

  get #frames(): number {
    return this.#cache.frames;
  }

  get #dirtyCost(): number {
    return Atomics.load(this.memory.limits, DIRTY_COST);
  }

  /** Pages in which the chunk differs from the whole value below it; undefined where it is not in memory. */
  #pagesOf(chunk: ChunkId): number | undefined {
    const frame = Atomics.load(this.memory.index, chunk) - 1;
    return frame < 0 ? undefined : this.#patched[frame]! | Atomics.load(this.memory.changed, frame);
  }

  #dataOf(frame: number): Uint8Array {
    return this.memory.frames.subarray(frame * this.chunkSize, (frame + 1) * this.chunkSize);
  }

  /** What makes the frame's chunk durable, and the frame is clean; nothing where it was. */
  #takeChanged(frame: number, chunk: ChunkId): ChunkChange | undefined {
    const { locks, origins } = this.memory;
    lock(locks, frame);
    try {
      const changed = this.#clean(frame);
      if (changed === 0) return undefined;
      // A copy whose mapping this commit does not see has nothing below it in the store.
      const isNew = Atomics.exchange(origins, frame, 0) !== 0;
      const pages = this.#patched[frame]! | changed;
      if (!isNew && areFew(pages, this.#allPages)) {
        this.#patched[frame] = pages;
        return copyPatch(chunk, pages, this.#dataOf(frame), this.#page, this.#slabs.take);
      }
      this.#patched[frame] = 0;
      this.#options.partial.makeWhole(chunk);
      if (this.#options.remote.isRemote(chunk)) this.#options.remote.makeLocal(chunk);
      return copyWhole(chunk, this.#dataOf(frame), this.#slabs.take);
    } finally {
      unlock(locks, frame);
    }
  }

  /** @returns what was changed of it */
  #clean(frame: number): number {
    const { changed, limits } = this.memory;
    const before = Atomics.exchange(changed, frame, 0);
    if (before !== 0) Atomics.sub(limits, DIRTY_COST, dirtyCost(before));
    return before;
  }

  #markAll(frame: number): void {
    const { changed, limits } = this.memory;
    const before = Atomics.exchange(changed, frame, this.#allPages);
    Atomics.add(limits, DIRTY_COST, dirtyCost(this.#allPages) - dirtyCost(before));
    this.#dirty.mark(frame);
  }

  /** Nothing changes what the store has of a chunk that has no frame. */
  #read(chunk: ChunkId): Promise<LoadedChunk> {
    const backing = this.#options.partial.backingOf(chunk);
    return backing === undefined
      ? readWithPatch(this.#store, chunk, this.chunkSize, this.#page)
      : readPartial(this.#store, chunk, backing, this.chunkSize, this.#page);
  }

  #place(chunk: ChunkId, loaded: LoadedChunk): Promise<void> | undefined {
    return this.#fill(chunk, loaded, false) === undefined ? this.#options.commit() : undefined;
  }

  /** Undefined: no frame is to be had before a commit. @param isFetched no commit has the bytes */
  #fill(chunk: ChunkId, { data, patched }: LoadedChunk, isFetched: boolean): number | undefined {
    const frame = this.#free.take() ?? this.#evict();
    if (frame === undefined) return undefined;
    const { index, owners, origins, touched, fetched } = this.memory;
    this.#dataOf(frame).set(data);
    this.#patched[frame] = patched;
    touched[frame] = 1;
    Atomics.store(origins, frame, 0);
    Atomics.store(owners, frame, chunk);
    if (isFetched) Atomics.store(fetched, frame, 1);
    Atomics.store(index, chunk, frame + 1);
    return frame;
  }

  /** A free frame, and some more in the ring for threads that cannot wait. */
  #evict(): number | undefined {
    const [one, ...rest] = this.#unpublish(this.#cache.spare);
    if (one === undefined) return undefined;
    // Requests on frames wait for nothing, so this is over in microseconds.
    this.#options.epochs.waitQuiet();
    for (const frame of rest) this.#free.put(frame);
    return one;
  }

  /**
   * Clean frames that no new request will find, by the clock: those that were not touched since the hand went
   * by.
   */
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
