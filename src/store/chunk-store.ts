import type { ChunkId } from '../format/ids.js';
import type { ChunkAccess, ChunkMemory } from './chunk-access.js';
import type { KvOperation } from './key-value.js';

/**
 * The chunks that a commit must write. The caller calls exactly one of `settle` and `undo` before it takes
 * the next.
 */
export interface ChunkCommit {
  /** Asked once. */
  operations(): Promise<readonly KvOperation[]>;
  settle(): void;
  undo(): void;
}

/**
 * Which chunks are partial: they have some of their pages, and a backing has the rest
 * (metadata/backing-table.ts).
 */
export interface PartialChunks {
  /** @throws ThinError damaged */
  backingOf(chunk: ChunkId): ChunkId | undefined;
  /** The chunk has these pages from this commit on (format/chunk-backing.ts). */
  setPages(chunk: ChunkId, pages: number): void;
  /** The chunk has all its pages from this commit on. */
  makeWhole(chunk: ChunkId): void;
  /** Base undefined: its record is damaged. */
  all(): Iterable<{ readonly chunk: ChunkId; readonly backing: ChunkId | undefined; readonly pages: number }>;
}

/**
 * Which chunks are remote: their bytes are in a store elsewhere, and not here (metadata/remote-table.ts).
 */
export interface RemoteChunks {
  /** @throws ThinError damaged */
  isRemote(chunk: ChunkId): boolean;
  /** Its bytes are here from this commit on. */
  makeLocal(chunk: ChunkId): void;
  /** Has them fetched, verified and landed. Errors: io. */
  fetch(chunk: ChunkId): Promise<void>;
  all(): Iterable<{ readonly chunk: ChunkId }>;
  /** Chunks that may be remote: their entries are damaged. */
  damaged(): Iterable<{ readonly first: number; readonly count: number }>;
}

/**
 * The data of the pool's chunks, as the pool thread looks after it: `access` is what requests use, on this
 * thread and others. Writes are seen by reads at once, and are durable with the batch that carries what
 * `collect` returned.
 */
export interface ChunkStore {
  /** Bytes of a chunk. */
  readonly chunkSize: number;
  readonly access: ChunkAccess;
  readonly memory: ChunkMemory;
  /**
   * `access` and `memory` are others afterwards. No request is under way, and none begins with those of
   * before.
   */
  resizeCache?(bytes: number): void;
  /** A batch would have something of it. */
  readonly isDirty: boolean;
  /** Something was written that is durable only after the `sync` of a commit. */
  readonly needsSync: boolean;
  /** So much was written that a commit should begin. */
  readonly wantsCommit: boolean;
  /**
   * After `missing`: brings the chunk into memory, from the store or, a remote one, from where it is. It may
   * be another chunk by then: the caller looks again.
   * @throws ThinError damaged; the promise rejects with damaged (missing or not as written), io
   */
  bring(chunk: ChunkId): Promise<void> | undefined;
  /** A read would end with `missing`. */
  isMissing(chunk: ChunkId): boolean;
  /** The chunk's bytes are not here; a reader has to fetch them first. */
  isAway(chunk: ChunkId): boolean;
  /** A chunk that is about to be mapped is remote. */
  makeRemote(chunk: ChunkId): void;
  /**
   * The bytes of a remote chunk, whole and verified, are put where they belong, once: nothing happens where
   * it is not remote any more. The caller has reserved a line of the log. Where every frame waits for a
   * commit, nothing is put: the caller waits, and calls again if the chunk is still the same.
   * @param keep false where no commit will come: they are there for reading
   * @throws ThinError io, no-space
   */
  land(chunk: ChunkId, bytes: Uint8Array, keep: boolean): Promise<void> | undefined;
  /** After `no-room`: makes room, at once or with a commit. */
  makeRoom(): Promise<void> | undefined;
  /**
   * Nothing maps the chunk any more: from now on nothing of it goes to the store. Requests in flight may
   * still see its data.
   */
  drop(chunk: ChunkId): void;
  /**
   * Forgets chunks whose data no request can see any more, and frees their space. They may be used again when
   * it resolves.
   */
  recycle(chunks: readonly ChunkId[]): Promise<void>;
  /**
   * Whether the chunk is known to hold zeroes, so that a provision may write only a part of it. Asked once,
   * when it is handed out.
   */
  takeZeroed(chunk: ChunkId): boolean;
  /**
   * A chunk that is about to be mapped may stay partial, where it is a copy of another one in which little
   * was changed: the chunk, never partial itself, that it differs from. Asked once; the store counts on the
   * answer being used.
   */
  takeBacking(chunk: ChunkId): ChunkId | undefined;
  /** The next commit writes the chunk whole. @throws as `bring` */
  consolidate(chunk: ChunkId): Promise<void>;
  /**
   * The first step of a commit, before the metadata is collected: says which partial chunks are whole now.
   * `collect` follows at once.
   */
  prepare(): void;
  /**
   * Makes durable what lies outside the store and was written before; a batch that maps it is written after
   * that. @throws ThinError io, no-space
   */
  sync(): Promise<void>;
  /** @param freed chunks that nothing refers to from this commit on */
  collect(freed: readonly ChunkId[]): ChunkCommit;
  close(): Promise<void>;
}
