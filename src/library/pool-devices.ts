import type { DeviceName } from '../format/ids.js';
import type { ImageFile } from '../io/image-file.js';
import type { ThinPool } from '../pool/thin-pool.js';
import type { DeviceChanges } from '../service/device-changes.js';
import type { Devices } from '../service/devices.js';

/** What the devices of one open pool work on. */
export class PoolDevices {
  readonly service: Devices;
  readonly #pool: ThinPool;
  readonly #changes: DeviceChanges;

  constructor(pool: ThinPool, service: Devices, changes: DeviceChanges) {
    this.#pool = pool;
    this.service = service;
    this.#changes = changes;
  }

  /** Idempotent. Errors: not-found. */
  async activate(name: DeviceName): Promise<ImageFile> {
    return this.#pool.active(name) ?? this.#pool.activate(name);
  }

  /** Idempotent; what was written before is durable then. */
  async deactivate(name: DeviceName): Promise<void> {
    if (this.#pool.active(name) !== undefined)
      await this.#changes.run([name], () => this.#pool.deactivate(name));
  }
}
