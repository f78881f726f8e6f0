import { LRUCache } from 'lru-cache';
import { ThinError } from '../errors/thin-error.js';
import type { ChunkId } from '../format/ids.js';
import { chunkKey, describeKey } from '../format/keys.js';
import { SEAL_BYTES, checkChunk, sealChunk } from '../format/seal.js';
import type { ChunkCommit, ChunkStore } from './chunk-store.js';
import type { KeyValue, KvOperation } from './key-value.js';

/**
 * Chunks as values in the key-value store, each in a *frame*: its data, and behind it room for the seal. A changed frame stays
 * in memory until a commit writes it, so many small writes to one chunk cost one; unchanged ones are cached.
 */
export class LevelChunks implements ChunkStore {
  readonly chunkSize: number;
  readonly #store: KeyValue;
  readonly #clean: LRUCache<ChunkId, Uint8Array>;
  #dirty = new Map<ChunkId, Uint8Array>();
  /** On their way to the store, which does not have them yet. */
  #committing: ReadonlyMap<ChunkId, Uint8Array> = new Map();

  /** @param cacheBytes for unchanged frames */
  constructor(store: KeyValue, chunkSize: number, cacheBytes: number) {
    this.#store = store;
    this.chunkSize = chunkSize;
    this.#clean = new LRUCache({ max: Math.max(1, Math.floor(cacheBytes / chunkSize)) });
  }

  get dirtyBytes(): number {
    return this.#dirty.size * this.chunkSize;
  }

  read(chunk: ChunkId, offset: number, into: Uint8Array): void {
    into.set(this.#frame(chunk).subarray(offset, offset + into.length));
  }

  overwrite(chunk: ChunkId, offset: number, from: Uint8Array): void {
    let frame = this.#dirty.get(chunk);
    if (frame === undefined) {
      frame = from.length === this.chunkSize ? this.#newFrame() : this.#frame(chunk);
      this.#clean.delete(chunk);
      this.#dirty.set(chunk, frame);
    }
    frame.set(from, offset);
  }

  provision(chunk: ChunkId, offset: number, from: Uint8Array): void {
    const frame = this.#newFrame();
    frame.set(from, offset);
    this.#dirty.set(chunk, frame);
  }

  copy(origin: ChunkId, chunk: ChunkId, offset: number, from: Uint8Array): void {
    const frame = this.#newFrame();
    if (from.length < this.chunkSize) frame.set(this.#frame(origin));
    frame.set(from, offset);
    this.#dirty.set(chunk, frame);
  }

  forget(chunk: ChunkId): void {
    this.#dirty.delete(chunk);
    this.#clean.delete(chunk);
  }

  collect(freed: readonly ChunkId[]): ChunkCommit {
    for (const chunk of freed) this.forget(chunk);
    const dirty = this.#dirty;
    const operations: KvOperation[] = freed.map((chunk) => ({ type: 'del', key: chunkKey(chunk) }));
    for (const [chunk, frame] of dirty) {
      sealChunk(frame, chunk);
      operations.push({ type: 'put', key: chunkKey(chunk), value: frame });
    }
    this.#committing = dirty;
    this.#dirty = new Map();
    return {
      operations,
      settle: () => {
        for (const [chunk, frame] of dirty) if (!this.#dirty.has(chunk)) this.#clean.set(chunk, frame);
        this.#committing = new Map();
      },
      undo: () => {
        for (const [chunk, frame] of dirty) if (!this.#dirty.has(chunk)) this.#dirty.set(chunk, frame);
        this.#committing = new Map();
      },
    };
  }

  #newFrame(): Uint8Array {
    return new Uint8Array(this.chunkSize + SEAL_BYTES);
  }

  #frame(chunk: ChunkId): Uint8Array {
    return (
      this.#dirty.get(chunk) ?? this.#committing.get(chunk) ?? this.#clean.get(chunk) ?? this.#load(chunk)
    );
  }

  #load(chunk: ChunkId): Uint8Array {
    const key = chunkKey(chunk);
    const frame = this.#store.getSync(key);
    if (frame === undefined) throw new ThinError('damaged', `${describeKey(key)}: missing`);
    checkChunk(frame, chunk, this.chunkSize, describeKey(key));
    this.#clean.set(chunk, frame);
    return frame;
  }
}
