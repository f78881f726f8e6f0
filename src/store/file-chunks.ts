import type { FileHandle } from 'node:fs/promises';
import { chunkId, type ChunkId } from '../format/ids.js';
import { DirtyMap } from '../threads/dirty-map.js';
import type { ChunkCommit, ChunkStore, PartialChunks, RemoteChunks } from './chunk-store.js';
import { DataSyncs } from './data-syncs.js';
import { dataError, FileAccess, failureOf, fileMemory, noteFailure, type FileMemory } from './file-access.js';
import { pageSize, pagesOf } from './pages.js';
import type { PoolLog } from './pool-log.js';
import { DAMAGED, REMOTE, WHOLE } from './partial-memory.js';

/** Bytes of the data file. */
export interface FileRange {
  readonly offset: number;
  readonly length: number;
}

/**
 * Makes the ranges read as zeroes and, in a sparse file, gives their space back to the disk. Rejects where
 * the file has no such way.
 */
export type PunchHoles = (ranges: readonly FileRange[]) => Promise<void>;

/** The parts of `FileHandle` that are used; reads and writes use the descriptor. */
export type DataHandle = Pick<FileHandle, 'fd' | 'datasync' | 'close'>;

export interface FileChunksOptions {
  /** Open for reading and writing; closed with the store. */
  readonly handle: DataHandle;
  readonly chunkSize: number;
  /** Bytes of the file before the first chunk; none in pools of before. */
  readonly start?: number | undefined;
  /** That the pool can have. */
  readonly chunks: number;
  readonly partial: PartialChunks;
  readonly remote: RemoteChunks;
  /** Without it, freed chunks keep what they held until they are used again. */
  readonly punch?: PunchHoles | undefined;
  /** This chunk and all above hold zeroes; none where undefined. */
  readonly zeroedFrom?: number | undefined;
  readonly log?: PoolLog | undefined;
  /** Milliseconds for which freed chunks are gathered before they are punched out together. */
  readonly punchDelay?: number;
}

const PUNCH_DELAY = 100;

/** Chunks of a `direct` pool: written in place, made durable by fdatasync before the batch that maps them. */
export class FileChunks implements ChunkStore {
  readonly chunkSize: number;
  readonly memory: FileMemory;
  readonly access: FileAccess;
  readonly wantsCommit = false;
  readonly #handle: DataHandle;
  readonly #partial: PartialChunks;
  readonly #remote: RemoteChunks;
  readonly #dirty: DirtyMap;
  readonly #syncs: DataSyncs;
  readonly #allPages: number;
  readonly #delay: number;
  readonly #zeroed = new Set<ChunkId>();
  #punch: PunchHoles | undefined;
  #synced: Promise<void> = Promise.resolve();
  #untouchedFrom: number;
  #gathered: ChunkId[] = [];
  #punching: Promise<void> | undefined;

  constructor(options: FileChunksOptions) {
    this.chunkSize = options.chunkSize;
    const { chunkSize, chunks, start = 0 } = options;
    this.memory = fileMemory(options.handle.fd, { chunkSize, chunks, start });
    this.access = new FileAccess(this.memory, options.log?.writer);
    this.#partial = options.partial;
    this.#remote = options.remote;
    this.#dirty = new DirtyMap(this.memory.partial.dirty);
    this.#allPages = pagesOf(0, options.chunkSize, pageSize(options.chunkSize));
    const { backings, pages } = this.memory.partial;
    for (const { chunk, backing, pages: own } of options.partial.all()) {
      backings[chunk] = backing === undefined ? DAMAGED : backing + 1;
      pages[chunk] = own;
    }
    for (const { chunk } of options.remote.all()) backings[chunk] = REMOTE;
    for (const { first, count } of options.remote.damaged()) backings.fill(DAMAGED, first, first + count);
    this.#syncs = new DataSyncs(this.memory.syncs);
    this.#handle = options.handle;
    this.#punch = options.punch;
    this.#delay = options.punchDelay ?? PUNCH_DELAY;
    this.#untouchedFrom = options.zeroedFrom ?? Infinity;
  }

  /** Pages that came to a partial chunk are the metadata's matter, even where another commit synced them. */
  get isDirty(): boolean {
    return !this.access.isSettled;
  }

  get needsSync(): boolean {
    return this.#syncs.synced < this.#syncs.written || Atomics.load(this.memory.failed, 0) !== 0;
  }

  bring(chunk: ChunkId): Promise<void> | undefined {
    return this.isAway(chunk) ? this.#remote.fetch(chunk) : undefined;
  }

  isMissing(chunk: ChunkId): boolean {
    return this.isAway(chunk);
  }

  isAway(chunk: ChunkId): boolean {
    return this.access.isAway(chunk);
  }

  makeRemote(chunk: ChunkId): void {
    Atomics.store(this.memory.partial.backings, chunk, REMOTE);
  }

  land(chunk: ChunkId, bytes: Uint8Array): undefined {
    if (this.isAway(chunk) && this.#remote.isRemote(chunk)) this.access.land(chunk, bytes);
    return undefined;
  }

  makeRoom(): undefined {
    return undefined;
  }

  drop(): void {
    // Nothing is kept of it.
  }

  async recycle(chunks: readonly ChunkId[]): Promise<void> {
    const { backings, pages } = this.memory.partial;
    for (const chunk of chunks) {
      Atomics.store(backings, chunk, WHOLE);
      Atomics.store(pages, chunk, 0);
    }
    if (this.#punch === undefined || chunks.length === 0) return;
    this.#gathered.push(...chunks);
    await (this.#punching ??= this.#punchGathered());
  }

  takeZeroed(chunk: ChunkId): boolean {
    if (chunk >= this.#untouchedFrom) {
      this.#untouchedFrom = chunk + 1;
      return true;
    }
    return this.#zeroed.delete(chunk);
  }

  takeBacking(chunk: ChunkId): ChunkId | undefined {
    const word = Atomics.load(this.memory.partial.backings, chunk);
    if (word <= 0 || this.#partial.backingOf(chunk) !== undefined) return undefined;
    // A commit that came before the mapping has passed it by.
    this.#dirty.mark(chunk);
    return chunkId(word - 1);
  }

  consolidate(chunk: ChunkId): Promise<void> {
    this.access.fill(chunk);
    return Promise.resolve();
  }

  prepare(): void {
    const { backings, pages, changed } = this.memory.partial;
    Atomics.store(changed, 0, 0);
    for (const entry of this.#dirty.take()) {
      const chunk = chunkId(entry);
      if (Atomics.load(backings, chunk) === WHOLE && this.#remote.isRemote(chunk))
        this.#remote.makeLocal(chunk);
      // Not mapped so far, or not any more.
      if (Atomics.load(backings, chunk) <= 0 || this.#partial.backingOf(chunk) === undefined) continue;
      // The pages seen here were written earlier, and this commit's sync makes them durable.
      const own = Atomics.load(pages, chunk);
      if (own !== this.#allPages) {
        this.#partial.setPages(chunk, own);
        continue;
      }
      this.#partial.makeWhole(chunk);
      Atomics.store(backings, chunk, WHOLE);
    }
  }

  collect(): ChunkCommit {
    return { operations: () => Promise.resolve([]), settle: () => undefined, undo: () => undefined };
  }

  /** One after the other: a caller that finds nothing to sync must wait for the sync before it. */
  sync(): Promise<void> {
    const synced = this.#synced.then(() => this.#sync());
    this.#synced = synced.catch(() => undefined);
    return synced;
  }

  async #sync(): Promise<void> {
    this.#requireNoFailure();
    const { written } = this.#syncs;
    if (this.#syncs.synced < written) await this.#syncs.underWay.followInTurns(written);
    this.#requireNoFailure();
    if (this.#syncs.synced >= written) return;
    await this.#syncs.underWay.runInTurns(async () => {
      try {
        await this.#handle.datasync();
      } catch (error) {
        noteFailure(this.memory, error);
        throw dataError(error);
      }
    });
    this.#requireNoFailure();
    this.#syncs.noteSynced(written);
  }

  #requireNoFailure(): void {
    const failure = failureOf(this.memory);
    if (failure !== undefined) throw failure;
  }

  async close(): Promise<void> {
    await this.#punching;
    await this.#handle.close();
  }

  async #punchGathered(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, this.#delay));
    const chunks = this.#gathered.sort((x, y) => x - y);
    this.#gathered = [];
    this.#punching = undefined;
    try {
      await this.#punch?.(rangesOf(chunks, this.memory));
      for (const chunk of chunks) this.#zeroed.add(chunk);
    } catch {
      // Only space on the host's disk is lost by it, and the next try would end the same way.
      this.#punch = undefined;
    }
  }
}

/** Neighbours together. @param chunks ascending */
function rangesOf(
  chunks: readonly ChunkId[],
  { chunkSize, start }: Pick<FileMemory, 'chunkSize' | 'start'>,
): FileRange[] {
  const ranges: { offset: number; length: number }[] = [];
  for (const chunk of chunks) {
    const last = ranges.at(-1);
    const offset = start + chunk * chunkSize;
    if (last !== undefined && last.offset + last.length === offset) last.length += chunkSize;
    else ranges.push({ offset, length: chunkSize });
  }
  return ranges;
}
