import type { ChunkId } from '../format/ids.js';
import type { KvOperation } from '../store/key-value.js';

/**
 * What one commit must write, taken out of memory at one moment. Exactly one of `settle` (the batch is
 * durable) and `undo` (it failed: everything is kept for the next one) is called before the next commit is
 * taken.
 */
export interface MetadataCommit {
  readonly operations: readonly KvOperation[];
  /**
   * Chunks that nothing refers to after this commit: their data can go in the same batch. The committer
   * releases them in the space map when the batch is durable and no request can see their data.
   */
  readonly freedChunks: readonly ChunkId[];
  settle(): void;
  undo(): void;
}
