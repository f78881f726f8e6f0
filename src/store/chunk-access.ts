import type { ChunkId } from '../format/ids.js';
import type { CacheMemory } from './cache-access.js';
import type { FileMemory } from './file-access.js';

/**
 * How a request on a chunk went. `missing`: the chunk is not in memory, so the pool thread must bring it.
 * `no-room`: no frame is to be had for it, or too much waits for a commit. In both cases nothing was changed.
 */
export type Access = 'done' | 'missing' | 'no-room';

/**
 * The data of chunks as every thread reaches it, without waiting for another one. Offsets and lengths in
 * bytes; `at` is where the request's part begins in its buffer. Who maps a chunk is not known here: the
 * caller (io/block-path.ts) knows that it may read it, and writes to a chunk that is shared, or not its own,
 * never.
 */
export interface ChunkAccess {
  readonly chunkSize: number;
  /** Chunks with successive numbers lie side by side, so that a range may run from one into the next. */
  readonly contiguous: boolean;
  /** Writes are lost with the process until a commit has them. */
  readonly isVolatile: boolean;
  /** Its bytes are not here: a range stops before it. */
  isAway(chunk: number): boolean;
  /**
   * The pages that a partial chunk has of its own, and whose the others are; undefined for a whole one.
   * @throws ThinError damaged
   */
  partOf(chunk: ChunkId): { readonly backing: ChunkId; readonly pages: number } | undefined;
  /** @throws ThinError io */
  read(chunk: ChunkId, within: number, into: Uint8Array, at: number, length: number): Access;
  /** @throws ThinError io, no-space (the host's disk is full) */
  overwrite(chunk: ChunkId, within: number, from: Uint8Array, at: number, length: number): Access;
  /**
   * A new chunk: the bytes at `within`, zeroes elsewhere; `zeroed` where it is known to hold zeroes.
   * @throws as `overwrite`
   */
  provision(
    chunk: ChunkId,
    within: number,
    from: Uint8Array,
    at: number,
    length: number,
    zeroed: boolean,
  ): Access;
  /** A new chunk: the origin's data with the bytes at `within`. @throws as `overwrite` */
  copy(origin: ChunkId, chunk: ChunkId, within: number, from: Uint8Array, at: number, length: number): Access;
}

/** What another thread of the process needs to reach the same chunks; can be sent to it. */
export type ChunkMemory = CacheMemory | FileMemory;
