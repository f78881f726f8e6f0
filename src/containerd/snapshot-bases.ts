import { BASE_NAME, parseDeviceName } from '../format/device-name.js';
import type { DeviceInfo, FilesystemType } from '../pool/info.js';
import type { ServedPool } from '../service/pool-service.js';
import type { SnapshotterSettings } from './snapshotter-settings.js';

const LABELS = { making: 'containerd:base-being-made', made: 'containerd:base' };

/**
 * The empty filesystems that snapshots without a parent start from: the pool's own, and where a snapshotter
 * wants another filesystem or size, one of that, made when it is first asked for and kept. Snapshotters that
 * want the same have one together: no program writes to it.
 */
export class SnapshotBases {
  readonly #served: ServedPool;
  readonly #making = new Map<string, Promise<DeviceInfo>>();

  constructor(served: ServedPool) {
    this.#served = served;
  }

  /** Errors: damaged (the pool's has no filesystem), missing-tool, those of making a device. */
  async of(wanted: Pick<SnapshotterSettings, 'filesystem' | 'size'>): Promise<DeviceInfo> {
    const { devices } = this.#served;
    const { filesystem: usual, size: usualSize } = devices.require(BASE_NAME);
    const filesystem = wanted.filesystem ?? usual;
    const size = wanted.size ?? usualSize;
    if (filesystem === usual && size === usualSize) return devices.requireBase();
    const name = `containerd-base-${filesystem}-${size}`;
    const making =
      this.#making.get(name) ?? this.#ensure(name, filesystem, size).finally(() => this.#making.delete(name));
    this.#making.set(name, making);
    return making;
  }

  async #ensure(given: string, filesystem: FilesystemType, size: number): Promise<DeviceInfo> {
    const { pool, devices, access, changes } = this.#served;
    const name = parseDeviceName(given);
    const there = pool.device(name);
    if (there?.label === LABELS.made) return there;
    // A daemon that was killed while it made one.
    if (there?.label === LABELS.making) await changes.run([name], () => devices.removeUnused(name));
    await access.createFormatted({
      name,
      size,
      filesystem,
      quota: undefined,
      labels: LABELS,
      template: true,
    });
    return devices.require(name);
  }
}
