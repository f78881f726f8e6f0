import type { CommitOptions } from './committer.js';
import type { ChunkOptions } from './open-chunks.js';
import type { GrowthOptions } from './extender.js';
import type { HostOptions } from './host-guard.js';
import type { RemoteSource } from './remote-source.js';
import type { PoolEvents } from './thin-pool.js';

export interface OpenPoolOptions extends CommitOptions, ChunkOptions, GrowthOptions, HostOptions {
  readonly events?: PoolEvents;
  /** Where the bytes of remote chunks come from. Without, they cannot be read. Closed with the pool. */
  readonly remote?: RemoteSource | undefined;
  /** Milliseconds between commits of unflushed changes (dm-thin: one second); 0: only when asked. */
  readonly commitInterval?: number;
  /** Looks, in the background, for damage in the store's files before anything reads them. Default false. */
  readonly watchesFiles?: boolean;
  /** Nodes of removed devices given back in one commit. */
  readonly reclaimStep?: number;
  /** Blocks that a search for data or holes looks at before others get their turn, about. */
  readonly searchStep?: number;
  /**
   * Most sheets of 4 KiB in the mapping tables of all active devices, six at least. Default: by the machine's
   * memory.
   */
  readonly tableSheets?: number;
}
