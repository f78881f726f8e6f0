import type { TrafficTotals } from '../threads/traffic.js';
import type { RemoteFigures } from './remote-fetcher.js';

/** The activity of an open pool; `PoolInfo` has its state. The cost does not depend on the pool's size. */
export interface PoolFigures {
  /** Requests of all devices since the pool was opened. */
  readonly traffic: TrafficTotals;
  /** Whether chunks pass through a cache (`leveldb` pools), so that `TrafficTotals.hits` means something. */
  readonly isCached: boolean;
  /**
   * Of what is being removed: bytes that are still to come back, about; after a restart, what is known of
   * them.
   */
  readonly pendingBytes: number;
  /** Bytes in the pool's log that no commit has taken over; undefined where there is none. */
  readonly logBytes: number | undefined;
  /** The disk of the pool's folder. Bytes; undefined: it is on none. */
  readonly host:
    | {
        readonly free: number;
        readonly total: number;
        /** With less free than this, writes that need room on it are refused. */
        readonly floor: number;
      }
    | undefined;
  /**
   * What the filesystem with the data has free, bytes; undefined: the data is on a disk of its own, or beside
   * the metadata.
   */
  readonly dataFree: number | undefined;
  /** Of chunks whose bytes are in stores elsewhere. */
  readonly remote: RemoteFigures;
}
