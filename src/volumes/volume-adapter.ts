import type { Logger } from 'pino';
import type { MakeAdapter } from '../adapter/adapter.js';
import { AdapterCalls } from '../adapter/adapter-calls.js';
import { PoolAdapter, type AdapterPlace } from '../adapter/pool-adapter.js';
import type { Method } from './messages.js';
import { VolumeServer } from './volume-server.js';
import { Volumes } from './volumes.js';

export interface VolumeSettings {
  /** Absolute. */
  readonly socket: string;
  /** How long a removal waits for processes that work in the volume. Default: 10 s. */
  readonly patienceMs?: number;
}

const QUIET: readonly Method[] = [
  'Plugin.Activate',
  'VolumeDriver.Capabilities',
  'VolumeDriver.Get',
  'VolumeDriver.List',
  'VolumeDriver.Path',
];

/** The volume plugin of a daemon, for Docker and podman to use the pool through. */
export function volumeAdapter(
  settings: VolumeSettings,
  log: Logger,
  place: AdapterPlace = { socket: settings.socket },
): MakeAdapter {
  return (served) => new VolumeAdapter(place, new Volumes(served, settings), log);
}

class VolumeAdapter extends PoolAdapter {
  readonly #volumes: Volumes;

  constructor(place: AdapterPlace, volumes: Volumes, log: Logger) {
    const calls = new AdapterCalls({
      event: 'volume',
      quiet: new Set<string>(QUIET),
      // Engines ask every driver for names that may be another's.
      expected: new Set(['not-found']),
      log,
    });
    super({
      event: 'volumes',
      ...{ place, calls, log },
      server: new VolumeServer({ volumes, calls }),
      says: {
        who: 'a volume plugin',
        serving: 'volumes are served',
        reapFailed: 'volumes without containers are still mounted',
      },
    });
    this.#volumes = volumes;
  }

  protected async reap(): Promise<void> {
    await this.#volumes.reap();
  }
}
