import { setTimeout as sleep } from 'node:timers/promises';
import { ThinError } from '../errors/thin-error.js';
import type { DeviceName } from '../format/ids.js';
import type { ThinPool } from '../pool/thin-pool.js';
import type { DeviceDirectory } from './device-directory.js';

/** The kernel sends RELEASE for a loop device's file some time after losetup has returned. */
const RELEASE_POLL_MS = 10;
const RELEASE_POLLS = 200;

/** Brings image files into the device directory and takes them out again. The caller holds the device's lock. */
export class ActiveDevices {
  readonly #pool: ThinPool;
  readonly #directory: DeviceDirectory;

  constructor(pool: ThinPool, directory: DeviceDirectory) {
    this.#pool = pool;
    this.#directory = directory;
  }

  pathOf(name: DeviceName): string | undefined {
    return this.#directory.pathOf(name);
  }

  /** Ascending by name. */
  names(): readonly DeviceName[] {
    return [...this.#directory.devices()].sort();
  }

  /** Idempotent. `fresh` where it was not active before. Errors: not-found. */
  async activate(name: DeviceName): Promise<{ path: string; fresh: boolean }> {
    const known = this.#directory.pathOf(name);
    if (known !== undefined) return { path: known, fresh: false };
    this.#directory.add(name, await this.#pool.activate(name));
    return { path: this.#directory.pathOf(name) ?? '', fresh: true };
  }

  /** Idempotent. Errors: busy (a loop device or another program has the image file open). */
  async deactivate(name: DeviceName): Promise<void> {
    if (this.#directory.pathOf(name) === undefined) return;
    for (let poll = 0; this.#directory.openCount(name) > 0 && poll < RELEASE_POLLS; poll++)
      await sleep(RELEASE_POLL_MS);
    if (this.#directory.openCount(name) > 0)
      throw new ThinError(
        'busy',
        `device ${name} is in use: something has ${this.#directory.pathOf(name) ?? ''} open (losetup --list, or fuser -v, shows what); close it first`,
        { details: { device: name } },
      );
    await this.#letGo(name);
  }

  /** As `deactivate`, without waiting for those who have it open: their requests fail from now on. */
  async abandon(name: DeviceName): Promise<void> {
    if (this.#directory.pathOf(name) !== undefined) await this.#letGo(name);
  }

  async #letGo(name: DeviceName): Promise<void> {
    this.#directory.remove(name);
    await this.#pool.deactivate(name);
  }
}
