import AsyncLock from 'async-lock';
import type { OutlivedCall } from '../adapter/outlived.js';
import { until } from '../async/until.js';
import { MIN_FILESYSTEM_SIZE } from '../config/limits.js';
import { formatBinarySize } from '../config/sizes.js';
import { ThinError } from '../errors/thin-error.js';
import { parseDeviceName } from '../format/device-name.js';
import type { DeviceName } from '../format/ids.js';
import type { DeviceInfo } from '../pool/info.js';
import type { VolumeMessage } from './messages.js';
import { parseVolumeOptions, type VolumeOptions } from './volume-options.js';
import {
  packVolumeRecord,
  shownName,
  unpackVolumeRecord,
  volumeDeviceName,
  type VolumeRecord,
} from './volume-record.js';
import type { ServedPool } from '../service/pool-service.js';

const PATIENCE_MS = 10_000;
const POLL_MS = 200;

interface Volume {
  readonly record: VolumeRecord;
  readonly device: DeviceInfo;
}

/**
 * Volumes of container engines, each a thin device with the volume's record as its label: making one is a
 * commit of the pool. Work on one volume runs in order. Errors, beside the pool's and the host's: not-found,
 * exists (with other options), busy (in use), invalid-argument, unknown-option.
 *
 * The users of a volume are known while the daemon lives. They use the mount, and no mount outlives the
 * daemon.
 */
export class Volumes {
  readonly #served: ServedPool;
  readonly #patienceMs: number;
  readonly #locks = new AsyncLock({ maxPending: Number.MAX_SAFE_INTEGER });
  /**
   * By device: the ids that engines mounted with. A device without any is mounted for a program that has not
   * closed its files yet.
   */
  readonly #holders = new Map<DeviceName, Set<string>>();

  constructor(served: ServedPool, { patienceMs = PATIENCE_MS }: { patienceMs?: number } = {}) {
    this.#served = served;
    this.#patienceMs = patienceMs;
  }

  /**
   * O(1), but where a filesystem has to be made: another one than the base device's, or a smaller one.
   * Idempotent for the same options.
   */
  async create(name: string, given: Readonly<Record<string, string>>): Promise<void> {
    const device = volumeDeviceName(name);
    const options = parseVolumeOptions(given);
    await this.#exclusively(name, async () => {
      const there = this.#find(name);
      if (there !== undefined) {
        requireSame(there.record, given);
        return;
      }
      await this.#removeHalfMade(name, device);
      this.#holders.delete(device);
      const record = { name, options: given };
      if (options.from !== undefined) {
        await this.#copy(device, this.#origin(options.from), options, { ...record, state: 'used' });
        return;
      }
      const base = this.#served.devices.requireBase();
      const filesystem = options.filesystem ?? base.filesystem;
      const size = options.size ?? base.size;
      // A volume that cannot be a snapshot of the base device is a device of its own.
      if (filesystem === base.filesystem && size >= base.size)
        await this.#copy(device, base, options, { ...record, state: 'fresh' });
      else await this.#format(device, { filesystem, size, quota: options.quota }, record);
    });
  }

  /**
   * Errors: busy (an engine has it mounted, or a process works in it and does not end within `patienceMs`).
   */
  async remove(name: string, call?: OutlivedCall): Promise<void> {
    await this.#exclusively(name, async () => {
      if (call?.isRepeated === true && this.#find(name) === undefined) return;
      const { device } = this.#require(name);
      const holders = this.#holders.get(device.name)?.size ?? 0;
      if (holders > 0) throw busy(name, `${holders} containers have it mounted`);
      await this.#served.changes.run([device.name], async () => {
        // The kernel takes a container's mounts down some time after its engine has called it ended.
        const withdraw = (): Promise<boolean> => this.#served.mounts.withdraw(device.name);
        if (!(await until(withdraw, { limitMs: this.#patienceMs, pollMs: POLL_MS })))
          throw busy(name, 'a process works in it');
        this.#holders.delete(device.name);
        await this.#served.devices.removeUnused(device.name);
      });
    });
  }

  /** Mounted until every id has unmounted it. Idempotent. Returns where. */
  async mount(name: string, id: string): Promise<string> {
    return this.#exclusively(name, async () => {
      const { record, device } = this.#require(name);
      const target = await this.#served.changes.run([device.name], async () => {
        const { access, devices } = this.#served;
        const first = record.state === 'fresh';
        const mounted = await access.ensureMounted(devices.require(device.name), { first });
        if (first)
          await devices.relabel(device.name, { label: packVolumeRecord({ ...record, state: 'used' }) });
        return mounted;
      });
      const holders = this.#holders.get(device.name) ?? new Set();
      this.#holders.set(device.name, holders.add(id));
      return target;
    });
  }

  /** An id that is not known has unmounted it already, or had it from an earlier daemon: no failure. */
  async unmount(name: string, id: string): Promise<void> {
    await this.#exclusively(name, async () => {
      const { device } = this.#require(name);
      const holders = this.#holders.get(device.name);
      if (holders === undefined) return;
      holders.delete(id);
      if (holders.size === 0) await this.#release(device.name);
    });
  }

  /** Takes down mounts whose last user was slower to go than its engine. */
  async reap(): Promise<void> {
    for (const [name, ids] of [...this.#holders]) {
      if (ids.size > 0) continue;
      const record = unpackVolumeRecord(this.#served.pool.device(name)?.label ?? '', name);
      if (record === undefined) {
        this.#holders.delete(name);
        continue;
      }
      await this.#exclusively(record.name, async () => {
        if (this.#holders.get(name)?.size === 0) await this.#release(name);
      });
    }
  }

  /** Where it is mounted; empty: it is not. */
  path(name: string): string {
    const { device } = this.#require(name);
    return this.#served.mounts.of(device.name)?.target ?? '';
  }

  get(name: string): VolumeMessage {
    return this.#message(this.#require(name));
  }

  /** Ascending by name. */
  async list(): Promise<readonly VolumeMessage[]> {
    const volumes: VolumeMessage[] = [];
    for await (const device of this.#served.pool.eachDevice()) {
      const record = unpackVolumeRecord(device.label, device.name);
      if (record !== undefined && isVolume(record, device)) volumes.push(this.#message({ record, device }));
    }
    return volumes.sort((a, b) => (a.Name < b.Name ? -1 : 1));
  }

  async #copy(
    name: DeviceName,
    origin: DeviceInfo,
    { size, quota }: VolumeOptions,
    record: VolumeRecord,
  ): Promise<void> {
    const label = packVolumeRecord(record);
    await this.#served.changes.run([origin.name, name], async () => {
      // The clone has what the users of the origin flushed. An xfs leaves a record in its log all the same,
      // which the clone's mount recovers.
      await this.#served.devices.snapshot({
        name,
        origin: origin.name,
        kind: 'snapshot',
        size,
        quota,
        label,
      });
    });
  }

  async #format(
    name: DeviceName,
    { filesystem, size, quota }: Pick<DeviceInfo, 'filesystem' | 'size'> & Pick<VolumeOptions, 'quota'>,
    record: Omit<VolumeRecord, 'state'>,
  ): Promise<void> {
    const least = MIN_FILESYSTEM_SIZE[filesystem];
    if (size < least)
      throw new ThinError(
        'invalid-argument',
        `size: a volume of ${formatBinarySize(size)} is too small for ${filesystem}, which needs ${formatBinarySize(least)}`,
      );
    await this.#served.access.createFormatted({
      ...{ name, size, filesystem, quota },
      labels: {
        making: packVolumeRecord({ ...record, state: 'making' }),
        made: packVolumeRecord({ ...record, state: 'fresh' }),
      },
    });
  }

  async #release(name: DeviceName): Promise<void> {
    const gone = await this.#served.locks.run([name], () => this.#served.mounts.withdraw(name));
    if (gone) this.#holders.delete(name);
  }

  /**
   * A volume whose making was cut off is in the way of a new one; anything else under its device's name
   * belongs to another program.
   */
  async #removeHalfMade(volume: string, name: DeviceName): Promise<void> {
    const device = this.#served.pool.device(name);
    if (device === undefined) return;
    if (unpackVolumeRecord(device.label, name)?.state !== 'making')
      throw new ThinError(
        'exists',
        `there is a device ${name} already, which is not a volume; rename it, or choose another name than ${volume}`,
        { details: { device: name } },
      );
    await this.#served.changes.run([name], () => this.#served.devices.removeUnused(name));
  }

  async #exclusively<T>(name: string, work: () => Promise<T>): Promise<T> {
    return this.#locks.acquire(`volume ${name}`, work);
  }

  #message({ record, device }: Volume): VolumeMessage {
    const { name, size, quota, mapped, exclusive, filesystem, originName, createdAt } = device;
    return {
      Name: record.name,
      Mountpoint: this.#served.mounts.of(name)?.target ?? '',
      CreatedAt: new Date(createdAt).toISOString(),
      Status: {
        device: name,
        filesystem,
        size,
        ...(quota === undefined ? {} : { quota }),
        mapped,
        exclusive,
        origin: originName ?? '',
        holders: this.#holders.get(name)?.size ?? 0,
      },
    };
  }

  #find(name: string): Volume | undefined {
    const device = this.#served.pool.device(volumeDeviceName(name));
    if (device === undefined) return undefined;
    const record = unpackVolumeRecord(device.label, device.name);
    return record !== undefined && isVolume(record, device) ? { record, device } : undefined;
  }

  #require(name: string): Volume {
    const found = this.#find(name);
    if (found !== undefined) return found;
    const { lacks } = this.#served.pool.info();
    // Engines forget a volume that is not there.
    if (lacks !== undefined)
      throw new ThinError('incomplete', `the pool cannot list all of its volumes now: ${lacks}`);
    throw new ThinError(
      'not-found',
      `no volume ${shownName(name)} in the pool of ${this.#served.layout.root}; docker volume ls shows those that are there`,
    );
  }

  /** A volume of that name, or else a device, such as a snapshot of a volume. */
  #origin(from: string): DeviceInfo {
    const volume = this.#find(from);
    if (volume !== undefined) return volume.device;
    const device = this.#served.pool.device(parseDeviceName(from));
    if (device !== undefined && unpackVolumeRecord(device.label, device.name) === undefined) return device;
    throw new ThinError('not-found', `from: there is no volume or device ${shownName(from)} to clone`);
  }
}

/** A volume whose device was renamed is none until the device has its name again. */
function isVolume({ name, state }: VolumeRecord, device: DeviceInfo): boolean {
  return state !== 'making' && device.name === volumeDeviceName(name);
}

function busy(name: string, why: string): ThinError {
  return new ThinError('busy', `volume ${name} cannot be removed: ${why}; end that first`);
}

/** Engines ask for a volume again that they have forgotten. @throws ThinError exists */
function requireSame({ name, options }: VolumeRecord, given: Readonly<Record<string, string>>): void {
  const words = (all: Readonly<Record<string, string>>): string =>
    Object.entries(all)
      .map(([key, value]) => `${key}=${value}`)
      .sort()
      .join(',');
  if (Object.keys(given).length === 0 || words(given) === words(options)) return;
  throw new ThinError(
    'exists',
    `there is a volume ${name} already, with other options (${words(options)}); remove it first, or choose another name`,
  );
}
