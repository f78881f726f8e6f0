import type { Logger } from 'pino';
import type { MakeAdapter } from '../adapter/adapter.js';
import { AdapterCalls } from '../adapter/adapter-calls.js';
import { PoolAdapter } from '../adapter/pool-adapter.js';
import type { ServedPool } from '../service/pool-service.js';
import type { MountMode } from './mount-mode.js';
import { SnapshotIndex } from './snapshot-index.js';
import { SnapshotMounts } from './snapshot-mounts.js';
import { SnapshotServer } from './snapshot-server.js';
import { Snapshotters } from './snapshotters.js';

export interface SnapshotterSettings {
  /** Absolute. */
  readonly socket: string;
  readonly mounts: MountMode;
}

/** The snapshotter of a daemon, for containerd to use the pool through. */
export function snapshotAdapter(settings: SnapshotterSettings, log: Logger): MakeAdapter {
  return (served) => new SnapshotAdapter(served, settings, log);
}

class SnapshotAdapter extends PoolAdapter {
  readonly #snapshotters: Snapshotters;
  readonly #index: SnapshotIndex;
  readonly #mounts: SnapshotMounts;

  constructor(served: ServedPool, settings: SnapshotterSettings, log: Logger) {
    const { socket } = settings;
    const mounts = new SnapshotMounts(served, settings.mounts);
    const index = new SnapshotIndex(served.pool);
    const snapshotters = new Snapshotters(served, index, mounts, ({ name, snapshots }) =>
      log.warn(
        { event: 'snapshotter', name, snapshots },
        `${snapshots} snapshots of before names were kept belong to the snapshotter ${JSON.stringify(name)} from now on, because it asked first`,
      ),
    );
    const calls = new AdapterCalls({
      event: 'snapshot',
      quiet: new Set(['Stat', 'List', 'Usage', 'Mounts']),
      // containerd asks for what may not be there, or be there already.
      expected: new Set(['not-found', 'exists']),
      log,
    });
    super({
      event: 'snapshotter',
      ...{ socket, calls, log },
      server: new SnapshotServer({ socket, snapshotters, calls }),
      says: {
        who: 'a snapshotter',
        serving: 'containerd is served',
        reapFailed: 'devices of removed snapshots are still there',
      },
    });
    this.#snapshotters = snapshotters;
    this.#index = index;
    this.#mounts = mounts;
  }

  protected override async takeOver(): Promise<void> {
    await this.#mounts.takeOver(this.#index.devices());
  }

  protected async reap(): Promise<void> {
    if (this.#snapshotters.hasRetired) await this.#snapshotters.reap();
  }

  protected override async release(): Promise<void> {
    await this.#mounts.releaseLoops();
  }
}
