import type { DataPlane } from '../io/data-plane.js';
import type { Metadata } from '../metadata/metadata.js';
import { Extender, type GrowData } from './extender.js';
import { HostGuard, type HostDisk } from './host-guard.js';
import { chunkCapacity } from './open-chunks.js';
import type { SpaceEvent } from './space-events.js';
import { SpacePolicy, type SpacePolicyPool } from './space-policy.js';
import { SpaceWatch } from './space-watch.js';

export interface SpaceOptions {
  /** The disk of the store's folder; undefined for a store that is on none. */
  readonly hostDisk?: HostDisk | undefined;
  /** Bytes to keep free on it; by its size, where undefined. */
  readonly hostFloor?: number | undefined;
  /** `direct` pools: how their data grows; undefined where it cannot. */
  readonly growData?: GrowData | undefined;
  /** Bytes that more data finds on its disk. Default: what `hostDisk` has; undefined where data does not grow on a disk. */
  readonly dataFree?: (() => number | undefined) | undefined;
}

/** What looks after a pool's space: the policy of writers, and the growth that it may ask for. */
export function openSpace(
  { plane, metadata, pool }: { plane: DataPlane; metadata: Metadata; pool: SpacePolicyPool },
  options: SpaceOptions,
  tell: (event: SpaceEvent) => void,
): { readonly policy: SpacePolicy; readonly extender: Extender } {
  const host = new HostGuard(options.hostDisk, tell, options.hostFloor);
  const extender = new Extender({
    metadata,
    options: () => pool.options(),
    commit: () => pool.commit(),
    capacity: chunkCapacity(metadata.superblock),
    growData: options.growData,
    hostFree: options.dataFree ?? (() => host.free),
    tell,
    onRoom: () => {
      policy.noteRoom();
    },
  });
  const policy = new SpacePolicy({ plane, metadata, watch: new SpaceWatch(tell), extender, host, pool });
  return { policy, extender };
}
