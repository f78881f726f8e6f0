import type { ChunkId } from '../format/ids.js';
import type { KvOperation } from './key-value.js';

/** What a commit must write of the chunks; exactly one of `settle` and `undo` is called before the next is taken. */
export interface ChunkCommit {
  readonly operations: readonly KvOperation[];
  settle(): void;
  undo(): void;
}

/**
 * The data of the pool's chunks. Writes are seen by reads at once, and are durable with the batch that carries what `collect`
 * returned. Who maps a chunk, and whether it is shared, is not known here.
 */
export interface ChunkStore {
  /** Bytes of a chunk. */
  readonly chunkSize: number;
  /** Bytes written that no `collect` has taken yet: what a crash would lose. */
  readonly dirtyBytes: number;
  /** Fills `into` from byte `offset` of the chunk. @throws ThinError damaged (missing or not as written), io */
  read(chunk: ChunkId, offset: number, into: Uint8Array): void;
  /** Overwrites a part. @throws as `read`, since the rest of the chunk may have to be read */
  overwrite(chunk: ChunkId, offset: number, from: Uint8Array): void;
  /** A new chunk: `from` at `offset`, zeroes elsewhere. */
  provision(chunk: ChunkId, offset: number, from: Uint8Array): void;
  /** A new chunk: the origin's data with `from` at `offset`. @throws as `read` */
  copy(origin: ChunkId, chunk: ChunkId, offset: number, from: Uint8Array): void;
  /** A new chunk that no commit has seen is given up. */
  forget(chunk: ChunkId): void;
  /** @param freed chunks that nothing refers to from this commit on */
  collect(freed: readonly ChunkId[]): ChunkCommit;
}
