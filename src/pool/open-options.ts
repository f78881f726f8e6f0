import type { MetadataOptions } from '../metadata/open-metadata.js';
import type { ChunkOptions } from './open-chunks.js';
import type { SpaceOptions } from './open-space.js';
import type { PoolEvents } from './thin-pool.js';

export interface OpenPoolOptions extends MetadataOptions, ChunkOptions, SpaceOptions {
  readonly events?: PoolEvents;
  /** Milliseconds between commits of what nobody flushed (dm-thin: one second); 0: only when asked. */
  readonly commitInterval?: number;
  /** Nodes of removed devices given back in one commit. */
  readonly reclaimStep?: number;
  /** Changed mappings that a commit applies before others get their turn. */
  readonly applyStep?: number;
  /** Blocks that a search for data or holes looks at before others get their turn, about. */
  readonly searchStep?: number;
  /** Pages of 4 KiB that the page tables of all active devices may have at once; six at least. Default: by the machine's memory. */
  readonly tablePages?: number;
}
