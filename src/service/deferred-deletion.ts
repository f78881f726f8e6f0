import type { Logger } from 'pino';
import { ThinError } from '../errors/thin-error.js';
import { isHidden } from '../format/device-name.js';
import type { DeviceName } from '../format/ids.js';
import type { DeviceInfo } from '../pool/info.js';
import type { ThinPool } from '../pool/thin-pool.js';
import type { ActiveDevices } from './active-devices.js';
import type { DeviceLocks } from './device-locks.js';
import type { DeviceMounts } from './device-mounts.js';
import type { ProjectionWriter } from './projection-writer.js';

/** Docker's driver tried as often (moby deviceset.go, `deletionWorker`). Milliseconds. */
const RETRY_INTERVAL = 30_000;

export interface DeferredDeletionParts {
  readonly pool: ThinPool;
  readonly locks: DeviceLocks;
  readonly active: ActiveDevices;
  readonly mounts: DeviceMounts;
  readonly projection: ProjectionWriter;
  readonly log: Logger;
  /** Milliseconds between tries. */
  readonly interval?: number;
}

/**
 * Docker's deferred removal and deferred deletion: a device that is in use is deactivated, or removed, after
 * its last user. That it is marked deleted is in the pool, so that a restart goes on with it.
 */
export class DeferredDeletion {
  readonly #parts: DeferredDeletionParts;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  #trying: Promise<void> = Promise.resolve();

  constructor(parts: DeferredDeletionParts) {
    this.#parts = parts;
  }

  /** Removes what was marked before and has no user now. Never rejects. */
  async start(): Promise<void> {
    this.#timer = setInterval(() => void this.tryAll(), this.#parts.interval ?? RETRY_INTERVAL);
    this.#timer.unref();
    await this.tryAll();
  }

  /** Resolves when no try is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    await this.#trying;
  }

  /**
   * Marks a device deleted that is in use. False where it is not, or where the pool's options leave that to
   * the caller: nothing is marked then. The caller holds the device's lock.
   */
  async putOff(device: DeviceInfo): Promise<boolean> {
    const { pool, mounts, active, log } = this.#parts;
    const { name } = device;
    if (!pool.info().options.deferredDeletion) return false;
    if (mounts.of(name) === undefined && (await active.deactivate(name, { deferred: true }))) return false;
    if (!device.deleted) {
      await pool.update(name, { deleted: true });
      log.info(
        { event: 'deferred-deletion', device: name },
        `${name} is in use; it is removed after its last user`,
      );
    }
    return true;
  }

  /**
   * Removes the device if it is marked deleted and not in use. The caller holds its lock. Errors: as
   * `ThinPool.remove`.
   */
  async finish(name: DeviceName): Promise<boolean> {
    const { pool, mounts, active, projection, log } = this.#parts;
    if (pool.device(name)?.deleted !== true || mounts.of(name) !== undefined) return false;
    if (!(await active.deactivate(name, { deferred: true }))) return false;
    await pool.remove(name);
    await projection.refresh();
    log.info({ event: 'deferred-deletion', device: name }, `${name} has lost its last user and is removed`);
    return true;
  }

  /** The last user closed the device's image file. */
  idle(name: DeviceName): void {
    const { active, pool } = this.#parts;
    if (isHidden(name) || (!active.isLeaving(name) && pool.device(name)?.deleted !== true)) return;
    this.#soon(name, () => this.#deactivateNow(name));
  }

  /** Tries every device that is marked deleted. Never rejects. */
  async tryAll(): Promise<void> {
    if (this.#parts.pool.counts().deleted > 0)
      for await (const { name, deleted } of this.#parts.pool.eachDevice())
        if (deleted) this.#soon(name, () => this.#tryOne(name));
    await this.#trying;
  }

  async #deactivateNow(name: DeviceName): Promise<void> {
    const { active } = this.#parts;
    if (active.isLeaving(name)) await active.deactivate(name, { deferred: true });
    await this.finish(name);
  }

  async #tryOne(name: DeviceName): Promise<void> {
    const { pool, mounts } = this.#parts;
    if (pool.device(name)?.deleted !== true) return;
    if (mounts.of(name) !== undefined)
      try {
        await mounts.unmount(name);
      } catch (error) {
        if (error instanceof ThinError && error.code === 'busy') return;
        throw error;
      }
    await this.finish(name);
  }

  #soon(name: DeviceName, work: () => Promise<unknown>): void {
    const { locks, log } = this.#parts;
    this.#trying = this.#trying.then(async () => {
      if (this.#stopped) return;
      try {
        await locks.run([name], work);
      } catch (error) {
        log.warn(
          { event: 'deferred-deletion', device: name, err: error },
          `${name} cannot be deactivated yet`,
        );
      }
    });
  }
}
