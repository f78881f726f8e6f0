import type { DeviceName } from '../format/ids.js';
import type { DeviceInfo } from '../pool/info.js';
import type { DevicePlace, DeviceUse } from './device-use.js';
import type { ActiveDevices } from './active-devices.js';
import type { DeferredDeletion } from './deferred-deletion.js';
import type { DeviceHost } from './device-host.js';
import type { DeviceMounts } from './device-mounts.js';

export interface ServedDevicesParts {
  readonly active: ActiveDevices;
  readonly mounts: DeviceMounts;
  readonly host: DeviceHost;
  readonly deferred: DeferredDeletion;
}

/** What a daemon does with its devices. */
export class ServedDevices implements DeviceUse {
  readonly #parts: ServedDevicesParts;

  constructor(parts: ServedDevicesParts) {
    this.#parts = parts;
  }

  placeOf(name: DeviceName): DevicePlace {
    const { active, mounts } = this.#parts;
    const mounted = mounts.of(name);
    return {
      path: active.pathOf(name),
      loop: mounted?.loop,
      mountPoint: mounted?.target,
      writers: active.writersOf(name),
    };
  }

  frozen<T>(name: DeviceName, work: () => Promise<T>): Promise<T> {
    const { active, host } = this.#parts;
    const image = active.pathOf(name);
    return image === undefined ? work() : host.frozen(image, work);
  }

  putOff(device: DeviceInfo): Promise<boolean> {
    return this.#parts.deferred.putOff(device);
  }

  async release(name: DeviceName): Promise<void> {
    const { mounts, active } = this.#parts;
    if (mounts.of(name) !== undefined) await mounts.unmount(name, { lazily: true });
    await active.deactivateAnyway(name);
  }

  follow(device: DeviceInfo): Promise<void> {
    return this.#parts.mounts.follow(device);
  }
}
