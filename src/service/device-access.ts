import type { RootLayout } from '../config/root-layout.js';
import { ThinError } from '../errors/thin-error.js';
import { BASE_NAME } from '../format/device-name.js';
import type { DeviceName } from '../format/ids.js';
import { mountTarget } from '../host/own-paths.js';
import type { DeviceInfo, FilesystemType } from '../pool/info.js';
import type { ThinPool } from '../pool/thin-pool.js';
import type { Activated, ActiveDevices } from './active-devices.js';
import type { DeferredDeletion } from './deferred-deletion.js';
import type { DeviceChanges } from './device-changes.js';
import type { DeviceHost } from './device-host.js';
import type { DeviceLocks } from './device-locks.js';
import type { DeviceMount, DeviceMounts, MountAsk } from './device-mounts.js';
import { existingName, type Devices, type DeviceStatus } from './devices.js';

export interface DeviceAccessParts {
  readonly layout: RootLayout;
  readonly pool: ThinPool;
  readonly locks: DeviceLocks;
  readonly changes: DeviceChanges;
  readonly devices: Devices;
  readonly active: ActiveDevices;
  readonly mounts: DeviceMounts;
  readonly host: DeviceHost;
  readonly deferred: DeferredDeletion;
  /** Whether the transport hands on what a filesystem discards. */
  readonly carriesDiscards: () => boolean;
}

/** Of an incomplete device, which only its maker uses: the maker (`CreateRequest`). */
interface Asker {
  readonly maker?: string | undefined;
}

/** Bytes. */
export interface TrimResult {
  readonly name: string;
  /**
   * Of free space that the filesystem told the device about, as fstrim counts it: also what had no space
   * before.
   */
  readonly trimmed: number;
  /** The decrease of the device's mapped space. Other writes may have changed it meanwhile. */
  readonly freed: number;
}

export interface FormattedRequest {
  readonly name: DeviceName;
  /** Bytes. */
  readonly size: number;
  readonly filesystem: FilesystemType;
  /** Bytes that it may map. */
  readonly quota: number | undefined;
  /** The device's label while its filesystem is made, and from then on. */
  readonly labels: { readonly making: string; readonly made: string };
  /** Many devices start from it: as little as possible is in it, and nothing is kept for root. */
  readonly template?: boolean | undefined;
}

/**
 * How the devices of a pool are reached on this host: as image files, mounts and views, by the process that
 * serves them. Each call holds the device's lock, and ends deferred deletion where the device lost its last
 * user by it. Errors of all: not-found; busy (marked deleted, not whole); those of the host's tools.
 */
export class DeviceAccess {
  readonly #parts: DeviceAccessParts;

  constructor(parts: DeviceAccessParts) {
    this.#parts = parts;
  }

  /** Idempotent. */
  async activate(given: string, { maker }: Asker = {}): Promise<Activated> {
    const { active, devices } = this.#parts;
    return this.#locked(given, async (name) => {
      devices.requireLive(name, maker);
      return active.activate(name);
    });
  }

  /**
   * `deferred`: it is deactivated after its last user. Errors: busy (mounted; or in use, where the pool's
   * option `deferredRemoval` is off).
   */
  async deactivate(given: string): Promise<{ deferred: boolean }> {
    const { pool, active, mounts, deferred, devices } = this.#parts;
    return this.#locked(given, async (name) => {
      devices.require(name);
      const mounted = mounts.of(name);
      if (mounted !== undefined)
        throw new ThinError(
          'busy',
          `device ${name} is mounted on ${mounted.target}; unmount it first with: thinfuse umount ${name}`,
          { details: { device: name, target: mounted.target } },
        );
      const gone = await active.deactivate(name, { deferred: pool.info().options.deferredRemoval });
      await deferred.finish(name);
      return { deferred: !gone };
    });
  }

  /** As `DeviceMounts.mount`. Errors: read-only (the pool is); invalid-argument (a target that cannot be). */
  async mount(
    given: string,
    { target, maker, ...ask }: Omit<MountAsk, 'inPlace'> & Asker = {},
  ): Promise<DeviceMount> {
    const { layout, pool, mounts, devices } = this.#parts;
    const place = target === undefined ? undefined : await mountTarget(layout, target);
    return this.#locked(given, (name) => {
      const device = devices.requireLive(name, maker);
      if (ask.readOnly !== true && pool.info().mode === 'ro')
        throw new ThinError(
          'read-only',
          `the pool is read-only, so that ${name} can only be read: mount it with --ro, and see thinfuse check for why`,
          { details: { device: name } },
        );
      return mounts.mount(device, { ...ask, target: place });
    });
  }

  async umount(given: string): Promise<void> {
    const { mounts, deferred, devices } = this.#parts;
    await this.#locked(given, async (name) => {
      devices.require(name);
      await mounts.unmount(name);
      await deferred.finish(name);
    });
  }

  /** The device's files for reading, for as long as the process `holder` lives or until `closeView`. */
  async openView(given: string, holder: number, { maker }: Asker = {}): Promise<DeviceMount> {
    const { mounts, devices } = this.#parts;
    return this.#locked(given, (name) => mounts.openView(devices.requireLive(name, maker), holder));
  }

  /** Idempotent. */
  async closeView(given: string, holder: number): Promise<void> {
    const { mounts, deferred } = this.#parts;
    await this.#locked(given, async (name) => {
      await mounts.closeView(name, holder);
      await deferred.finish(name);
    });
  }

  /** Errors: not-found (not mounted), read-only (mounted so), unsupported (nothing carries discards). */
  async trim(given: string): Promise<TrimResult> {
    const { pool, mounts, host, devices, carriesDiscards } = this.#parts;
    return this.#locked(given, async (name) => {
      const { mapped } = devices.require(name);
      const mounted = mounts.of(name);
      const details = { device: name };
      if (mounted === undefined)
        throw new ThinError(
          'not-found',
          `device ${name} is not mounted, and only a mounted filesystem can be trimmed; mount it first with: thinfuse mount ${name}`,
          { details },
        );
      if (mounted.readOnly)
        throw new ThinError('read-only', `device ${name} is mounted read-only, so there is nothing to trim`, {
          details,
        });
      // Some kernels' loop devices, and filesystems on them, call a discard done that libfuse has refused.
      if (!carriesDiscards())
        throw new ThinError(
          'unsupported',
          'the transport fuse-native carries no discards, so the pool cannot free the space; the kernel transport carries them: thinfuse start --transport kernel',
          { details },
        );
      const trimmed = await host.trim(mounted.target);
      await pool.commit();
      return { name, trimmed, freed: Math.max(0, mapped - devices.require(name).mapped) };
    });
  }

  /** Makes the base device's filesystem. Errors: exists. */
  async formatBase(): Promise<DeviceStatus> {
    const { pool, changes, devices } = this.#parts;
    return changes.run([BASE_NAME], async () => {
      const { initialized, filesystem, size } = devices.require(BASE_NAME);
      if (initialized) throw new ThinError('exists', 'the base device has its filesystem already');
      const { uuid } = await this.#format(BASE_NAME, filesystem);
      await pool.update(BASE_NAME, { initialized: true, filesystemSize: size, baseUuid: uuid });
      return devices.get(BASE_NAME);
    });
  }

  /** A device without an origin, with a filesystem of its own. Nothing is left of it on failure. */
  async createFormatted({
    name,
    size,
    filesystem,
    quota,
    labels,
    template,
  }: FormattedRequest): Promise<void> {
    const { pool, changes, devices } = this.#parts;
    await changes.run([name], async () => {
      await pool.createThin({ name, kind: 'snapshot', size, filesystem, label: labels.making });
      await devices.orNone(name, async () => {
        await this.#format(name, filesystem, { template });
        await pool.update(name, { label: labels.made, ...(quota === undefined ? {} : { quota }) });
      });
    });
  }

  /**
   * Mounts a device for a program of its own, for writing, wherever it is not; `first`: as the empty root of
   * a container. The caller changes it.
   */
  async ensureMounted(device: DeviceInfo, { first }: { readonly first: boolean }): Promise<string> {
    const { mounts, host } = this.#parts;
    const { target } = await mounts.ensure(device, {});
    if (first) await host.bare(target);
    return target;
  }

  async #format(
    name: DeviceName,
    filesystem: FilesystemType,
    { template = false }: { readonly template?: boolean | undefined } = {},
  ): Promise<{ readonly uuid: string }> {
    const { pool, active, host } = this.#parts;
    const { filesystem: usual, mkfsArgs } = pool.info().options;
    const { path: image } = await active.activate(name);
    try {
      return await host.format(image, filesystem, {
        extraArgs: filesystem === usual ? mkfsArgs : [],
        size: pool.device(name)?.size,
        template,
      });
    } finally {
      await active.deactivate(name);
    }
  }

  async #locked<T>(given: string, work: (name: DeviceName) => Promise<T>): Promise<T> {
    const name = existingName(given);
    return this.#parts.locks.run([name], () => work(name));
  }
}
