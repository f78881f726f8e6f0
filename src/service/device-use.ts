import type { DeviceName } from '../format/ids.js';
import type { DeviceInfo } from '../pool/info.js';

/** Where a device is to be met on this host. */
export interface DevicePlace {
  /** The image file, while active. */
  readonly path: string | undefined;
  readonly loop: string | undefined;
  readonly mountPoint: string | undefined;
  /** Files that are open on the image file for writing. */
  readonly writers: number;
}

/**
 * The use of devices by this process: it serves, mounts and reads them. `Devices` asks before it changes one.
 * The caller holds the device's lock.
 */
export interface DeviceUse {
  placeOf(name: DeviceName): DevicePlace;
  /**
   * Runs `work` while every filesystem that is mounted for writing from the device is frozen; thaws whatever
   * happens.
   */
  frozen<T>(name: DeviceName, work: () => Promise<T>): Promise<T>;
  /**
   * True: the device is in use, is marked deleted and is removed after its last user. False: it is not in
   * use, or must not be put off.
   */
  putOff(device: DeviceInfo): Promise<boolean>;
  /**
   * Unmounts after a sync and removes the image file, also while it is in use. Requests of its users fail
   * from then on.
   */
  release(name: DeviceName): Promise<void>;
  /** After the device grew: a mounted filesystem follows. */
  follow(device: DeviceInfo): Promise<void>;
}

/** A process that has the pool open and serves none of its devices. */
export class Unused implements DeviceUse {
  placeOf(): DevicePlace {
    return { path: undefined, loop: undefined, mountPoint: undefined, writers: 0 };
  }

  frozen<T>(_name: DeviceName, work: () => Promise<T>): Promise<T> {
    return work();
  }

  putOff(): Promise<boolean> {
    return Promise.resolve(false);
  }

  release(): Promise<void> {
    return Promise.resolve();
  }

  follow(): Promise<void> {
    return Promise.resolve();
  }
}
