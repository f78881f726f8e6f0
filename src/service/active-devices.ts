import { until } from '../async/until.js';
import { ThinError } from '../errors/thin-error.js';
import type { DeviceName } from '../format/ids.js';
import type { ThinPool } from '../pool/thin-pool.js';
import type { DeviceDirectory } from './device-directory.js';

/** The kernel sends RELEASE for a loop device's file some time after losetup has returned. */
const RELEASE_POLL_MS = 10;
const RELEASE_PATIENCE_MS = 2000;

export interface Activated {
  /** The image file. */
  readonly path: string;
  /** It was not active before. */
  readonly fresh: boolean;
  /** As `PoolInfo.lacks`: this is where a device becomes readable. */
  readonly lacks: string | undefined;
}

/**
 * Brings image files into the device directory and takes them out again. The caller holds the device's lock.
 */
export class ActiveDevices {
  readonly #pool: ThinPool;
  readonly #directory: DeviceDirectory;
  /** Deactivated while something had them open. */
  readonly #leaving = new Set<DeviceName>();
  readonly #onChanged: (name: DeviceName, isActive: boolean) => void;

  /** @param onChanged `names` has the device from now on, or has it no more */
  constructor(
    pool: ThinPool,
    directory: DeviceDirectory,
    onChanged: (name: DeviceName, isActive: boolean) => void = () => undefined,
  ) {
    this.#onChanged = onChanged;
    this.#pool = pool;
    this.#directory = directory;
  }

  pathOf(name: DeviceName): string | undefined {
    return this.#directory.pathOf(name);
  }

  /** Files that are open on its image file for writing, by loop devices and other programs. */
  writersOf(name: DeviceName): number {
    return this.#directory.writerCount(name);
  }

  /** Ascending by name. */
  names(): readonly DeviceName[] {
    return [...this.#directory.devices()].sort();
  }

  /** It is deactivated after its last user (dm's deferred remove). */
  isLeaving(name: DeviceName): boolean {
    return this.#leaving.has(name);
  }

  /**
   * Idempotent; a device that was leaving stays (dm's @cancel_deferred_remove). Errors: not-found.
   */
  async activate(name: DeviceName): Promise<Activated> {
    this.#leaving.delete(name);
    const { lacks } = this.#pool.info();
    const known = this.#directory.pathOf(name);
    if (known !== undefined) return { path: known, fresh: false, lacks };
    this.#directory.add(name, await this.#pool.activate(name));
    this.#onChanged(name, true);
    return { path: this.#directory.pathOf(name) ?? '', fresh: true, lacks };
  }

  /**
   * Idempotent. Errors: busy (a loop device or another program has the image file open), which `deferred`
   * turns into leaving.
   * @returns whether it is gone already
   */
  async deactivate(name: DeviceName, { deferred = false } = {}): Promise<boolean> {
    if (this.#directory.pathOf(name) === undefined) return true;
    // One that is leaving tells by itself when it is idle.
    const limitMs = this.#leaving.has(name) ? 0 : RELEASE_PATIENCE_MS;
    const idle = (): boolean => this.#directory.openCount(name) === 0;
    if (!(await until(idle, { limitMs, pollMs: RELEASE_POLL_MS }))) {
      if (deferred) {
        this.#leaving.add(name);
        return false;
      }
      throw new ThinError(
        'busy',
        `device ${name} is in use: something has ${this.#directory.pathOf(name) ?? ''} open (losetup --list, or fuser -v, shows what); close it first`,
        { details: { device: name } },
      );
    }
    await this.#deactivate(name);
    return true;
  }

  /** As `deactivate`, without waiting for those who have it open: their requests fail from now on. */
  async deactivateAnyway(name: DeviceName): Promise<void> {
    if (this.#directory.pathOf(name) !== undefined) await this.#deactivate(name);
  }

  async #deactivate(name: DeviceName): Promise<void> {
    this.#leaving.delete(name);
    this.#directory.remove(name);
    this.#onChanged(name, false);
    await this.#pool.deactivate(name);
  }
}
