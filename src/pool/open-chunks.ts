import assert from 'node:assert/strict';
import type { Superblock } from '../format/superblock.js';
import { MAX_CHUNKS, type ChunkId } from '../format/ids.js';
import type { Metadata } from '../metadata/metadata.js';
import type { RequestEpochs } from '../threads/request-epochs.js';
import type { Compression } from '../config/pool-options.js';
import type { ChunkStore, PartialChunks, RemoteChunks } from '../store/chunk-store.js';
import { FileChunks, type FileChunksOptions } from '../store/file-chunks.js';
import type { KeyValue } from '../store/key-value.js';
import type { PoolLog } from '../store/pool-log.js';
import { LevelChunks } from '../store/level-chunks.js';
import { defaultChunkCache, defaultStaged } from './limits.js';

export interface ChunkOptions {
  /** Where the data of a `direct` pool is: closed with the pool. */
  readonly data?: Omit<FileChunksOptions, 'chunkSize' | 'chunks' | 'partial' | 'remote' | 'zeroedFrom'>;
  /** `leveldb` pools: bytes of chunks kept in memory, those included that wait for a commit. */
  readonly chunkCache?: number;
  /** `leveldb` pools: staged bytes at which a commit is begun; at twice that, writers wait for it. */
  readonly stagedBytes?: number;
  /**
   * Where what is answered and not committed is written down. Without, an fsync is a commit. Closed with the
   * pool.
   */
  readonly log?: PoolLog | undefined;
}

/**
 * Makes what lies behind the last chunk in use zeroes, whatever a crash has left there. Before anything is
 * handed out.
 * @returns the first chunk that holds zeroes, as all do after it; undefined where that cannot be had
 */
export async function zeroTail(
  { superblock, chunks }: Metadata,
  { data, log }: ChunkOptions,
): Promise<number | undefined> {
  // A map that may be damaged, or is behind what was answered, does not say where the last chunk is.
  if (data?.punch === undefined || superblock.needsCheck || (log?.left.length ?? 0) > 0) return undefined;
  const { blockSize } = superblock;
  const { start = 0 } = data;
  const end = chunks.end;
  if (end >= superblock.chunks) return undefined;
  try {
    await data.punch([{ offset: start + end * blockSize, length: (superblock.chunks - end) * blockSize }]);
    return end;
  } catch {
    return undefined;
  }
}

/**
 * Room to grow without being opened again: chunks, 256 GiB of small ones. Untouched, it takes address space
 * only.
 */
const GROWTH = 2 ** 22;

/** Chunks that the pool can have as long as it is open. */
export function chunkCapacity({ chunks }: Pick<Superblock, 'chunks'>): number {
  return Math.min(MAX_CHUNKS, Math.max(2 * chunks, chunks + GROWTH));
}

/** The chunks of a pool of either kind. */
export function openChunks(
  store: KeyValue,
  metadata: Metadata,
  options: ChunkOptions,
  parts: {
    epochs: RequestEpochs;
    commit: () => Promise<void>;
    zeroedFrom: number | undefined;
    compression: () => Compression;
    /** Brings the bytes of a remote chunk. */
    fetch: (chunk: ChunkId) => Promise<void>;
  },
): ChunkStore {
  const { kind, blockSize: chunkSize } = metadata.superblock;
  const chunks = chunkCapacity(metadata.superblock);
  const partial: PartialChunks = {
    backingOf: (chunk) => metadata.backings.backingOf(chunk),
    setPages: (chunk, pages) => {
      metadata.backings.setPages(chunk, pages);
    },
    makeWhole: (chunk) => {
      metadata.makeWhole(chunk);
    },
    all: () => metadata.backings.all(),
  };
  const remote: RemoteChunks = {
    isRemote: (chunk) => metadata.remote.get(chunk) !== undefined,
    makeLocal: (chunk) => {
      metadata.remote.take(chunk);
    },
    fetch: parts.fetch,
    all: () => metadata.remote.all(),
    damaged: () => metadata.remote.damaged(),
  };
  if (kind === 'direct') {
    assert(options.data !== undefined, 'the caller has opened the data of a direct pool');
    return new FileChunks({
      ...options.data,
      chunkSize,
      chunks,
      partial,
      remote,
      zeroedFrom: parts.zeroedFrom,
      log: options.log,
    });
  }
  const cacheBytes = options.chunkCache ?? defaultChunkCache();
  return new LevelChunks(store, {
    ...parts,
    log: options.log,
    chunkSize,
    chunks,
    partial,
    remote,
    isCounted: (chunk) => metadata.chunks.count(chunk) > 0,
    cacheBytes,
    stagedBytes: options.stagedBytes ?? defaultStaged(cacheBytes),
    stagedOf: (bytes) => options.stagedBytes ?? defaultStaged(bytes),
  });
}
