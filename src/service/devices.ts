import { ThinError } from '../errors/thin-error.js';
import { BASE_NAME, parseDeviceName } from '../format/device-name.js';
import { KEPT_PART, PUSHED } from '../format/device-record.js';
import type { DeviceName } from '../format/ids.js';
import type { DeviceInfo, FilesystemType } from '../pool/info.js';
import type { NewRemoteImage, SnapshotRequest, ThinPool, ThinRequest } from '../pool/thin-pool.js';
import type { DeviceChanges } from './device-changes.js';
import {
  refuseBase,
  refuseLabelled,
  requireFormatted,
  requireLimit,
  requireOrigin,
  requireWhole,
} from './device-refusals.js';
import type { DevicePlace, DeviceUse } from './device-use.js';
import { isMadeBy, UnfinishedDevices, type Makers } from './unfinished-devices.js';

/** A device as it stands, and where it is to be met. */
export interface DeviceStatus extends DeviceInfo, DevicePlace {}

/** `maker` makes the device until `seal` or `finish`. */
export interface CreateRequest extends Omit<SnapshotRequest, 'name' | 'origin' | 'originLabel' | LabelField> {
  readonly name: string;
  /** Undefined: the base device. */
  readonly origin?: string | undefined;
}

/** An image whose bytes are in a store; `labels` are its own while it is made, and from then on. */
export interface RemoteImageRequest {
  readonly name: DeviceName;
  readonly image: NewRemoteImage;
  /** The device below it, which has the image `below`; undefined: there is none. */
  readonly above: { readonly origin: DeviceName; readonly below: NewRemoteImage } | undefined;
  readonly size: number;
  readonly filesystem: FilesystemType;
  readonly labels: { readonly making: string; readonly made: (device: DeviceInfo) => string };
  /** Milliseconds for which a store that is away is asked again. */
  readonly timeoutMs: number;
}

/** The adapters set these themselves. */
type LabelField = 'label' | 'labels';

export interface DevicesParts {
  /** For messages. */
  readonly root: string;
  readonly pool: ThinPool;
  readonly changes: DeviceChanges;
  readonly use: DeviceUse;
  readonly makers: Makers;
}

/**
 * The life of devices: every operation that needs only an open pool, with or without a daemon that serves the
 * devices. Each change is durable and in the projection when its promise resolves, and leaves nothing behind
 * when it rejects. Errors, beside the pool's: not-found, busy (marked deleted, mounted, active),
 * invalid-argument (a name that cannot be, the base device).
 */
export class Devices {
  readonly #parts: DevicesParts;
  readonly unfinished: UnfinishedDevices;

  constructor(parts: DevicesParts) {
    this.#parts = parts;
    this.unfinished = new UnfinishedDevices(parts);
  }

  /** Ascending by device id, gathered in bounded steps: each device is as it was at its turn. */
  async list(): Promise<readonly DeviceStatus[]> {
    const devices: DeviceStatus[] = [];
    for await (const device of this.#parts.pool.eachDevice()) devices.push(this.#status(device));
    return devices;
  }

  /** The same at one moment, in a process that serves no other callers. */
  all(): readonly DeviceStatus[] {
    return this.#parts.pool.devices().map((device) => this.#status(device));
  }

  get(name: string): DeviceStatus {
    return this.#status(this.require(existingName(name)));
  }

  /** Errors: as `PoolTools.jointExclusive`. */
  jointExclusive(names: readonly string[]): Promise<number> {
    return this.#parts.pool.tools.jointExclusive(names.map((name) => this.require(existingName(name)).name));
  }

  /**
   * A snapshot of the origin; a mounted one is frozen for that moment. Errors: as `ThinPool.createSnapshot`.
   */
  async create(request: CreateRequest): Promise<DeviceStatus> {
    const name = parseDeviceName(request.name);
    const origin = existingName(request.origin ?? BASE_NAME);
    const { kind, size, quota, limit, content } = request;
    if (limit !== undefined) requireLimit(name, limit);
    await this.unfinished.sweep(name);
    const maker = await this.unfinished.noted(request.maker);
    return this.#parts.changes.run([name, origin], async () => {
      requireOrigin(this.requireLive(origin, request.maker), kind);
      return this.#status(
        await this.snapshot({ ...{ name, origin, kind, size, quota, limit }, content, maker }),
      );
    });
  }

  /**
   * Writable copies of one moment of `origin`: containers of an image, snapshots of everything else. One
   * freeze and one commit make all of them, or none is made.
   */
  async clone(given: string, givenNames: readonly string[]): Promise<readonly DeviceStatus[]> {
    const origin = existingName(given);
    const names = givenNames.map((name) => parseDeviceName(name));
    const twice = names.find((name, at) => names.indexOf(name) !== at);
    if (twice !== undefined)
      throw new ThinError('invalid-argument', `${twice} is named twice`, { details: { device: twice } });
    for (const name of names) await this.unfinished.sweep(name);
    const { pool, changes } = this.#parts;
    return changes.run([...names, origin], async () => {
      const from = this.requireLive(origin);
      const kind = from.kind === 'image' ? 'container' : 'snapshot';
      requireOrigin(from, kind);
      const requests = names.map((name) => ({ name, kind }) as const);
      const made = await this.#frozen(origin, () => pool.createSnapshots(origin, requests));
      return made.map((device) => this.#status(device));
    });
  }

  /**
   * The caller changes both devices already (`DeviceChanges.run`). A mounted origin is frozen for that
   * moment; `labelThen` is asked for its label then.
   */
  async snapshot(request: SnapshotRequest & { readonly labelThen?: () => string }): Promise<DeviceInfo> {
    const { pool } = this.#parts;
    const { labelThen, ...asked } = request;
    return this.#frozen(request.origin, () =>
      pool.createSnapshot(labelThen === undefined ? asked : { ...asked, label: labelThen() }),
    );
  }

  /**
   * A read-only pool says no by itself; a freeze there would write, and shut an xfs down. A freeze that made
   * it read-only failed for that.
   */
  async #frozen<T>(origin: DeviceName, work: () => Promise<T>): Promise<T> {
    const { pool, use } = this.#parts;
    const isReadOnly = (): boolean => pool.info().mode === 'ro';
    if (isReadOnly()) return work();
    try {
      return await use.frozen(origin, work);
    } catch (error) {
      if (error instanceof ThinError && error.code === 'tool-failed' && isReadOnly()) return work();
      throw error;
    }
  }

  /** A device without an origin, all of it unmapped. */
  async createThin(request: Omit<ThinRequest, 'name'> & { readonly name: string }): Promise<DeviceStatus> {
    const name = parseDeviceName(request.name);
    const { pool, changes } = this.#parts;
    await this.unfinished.sweep(name);
    const maker = await this.unfinished.noted(request.maker);
    return changes.run([name], async () => this.#status(await pool.createThin({ ...request, name, maker })));
  }

  /**
   * For an adapter whose caller changes the device, and the one below it, already (`DeviceChanges.run`). If
   * the daemon is killed meanwhile, a device with the label `making` is left.
   */
  async createRemote({
    name,
    image,
    above,
    size,
    filesystem,
    labels,
    timeoutMs,
  }: RemoteImageRequest): Promise<void> {
    const { pool } = this.#parts;
    const making = { name, kind: 'image', label: labels.making } as const;
    if (above === undefined) await pool.createThin({ ...making, size, filesystem });
    else await pool.createSnapshot({ ...making, origin: above.origin });
    await this.orNone(name, async () => {
      await pool.attachRemote(name, image, { below: above?.below, timeoutMs });
      await this.relabel(name, { label: labels.made(this.require(name)) });
    });
  }

  /** Fills a device that the caller has just made, and removes it if `fill` fails. */
  async orNone(name: DeviceName, fill: () => Promise<void>): Promise<void> {
    try {
      await fill();
    } catch (error) {
      await this.#parts.pool.remove(name).catch(() => undefined);
      throw error;
    }
  }

  /** It becomes an image for good, and is whole. */
  async seal(given: string, maker?: string): Promise<DeviceStatus> {
    const name = existingName(given);
    const { pool, changes } = this.#parts;
    return changes.run([name], async () => {
      const device = this.requireLive(name, maker);
      refuseBase(device, 'becomes no image');
      refuseLabelled(device, 'made an image');
      this.#refuseMounted(name, 'made an image');
      return this.#status(await pool.update(name, { kind: 'image', maker: '' }));
    });
  }

  /** What `maker` makes is whole. */
  async finish(given: string, maker: string): Promise<DeviceStatus> {
    const name = existingName(given);
    const { pool, changes } = this.#parts;
    return changes.run([name], async () => {
      this.requireLive(name, maker);
      return this.#status(await pool.update(name, { maker: '' }));
    });
  }

  /** A kept part becomes the maker's with it, and what a maker makes becomes a kept part with `keep`. */
  async rename(
    given: string,
    givenTo: string,
    {
      maker,
      keep = false,
    }: { readonly maker?: string | undefined; readonly keep?: boolean | undefined } = {},
  ): Promise<DeviceStatus> {
    const name = existingName(given);
    const to = parseDeviceName(givenTo);
    const { pool, changes } = this.#parts;
    return changes.run([name, to], async () => {
      const device = this.require(name);
      const isTaken = device.maker === KEPT_PART && maker !== undefined;
      if (!isTaken) this.requireLive(name, maker);
      refuseBase(device, 'keeps its name');
      this.#refuseMounted(name, 'renamed');
      this.#refuseActive(name, 'renamed');
      const change = keep
        ? { maker: KEPT_PART }
        : isTaken
          ? { maker: (await this.unfinished.noted(maker)) ?? '' }
          : {};
      return this.#status(await pool.rename(name, to, change));
    });
  }

  /** What `maker` holds still stays as it is under a name of its own, for as long as its origin is there. */
  async anchor(
    given: string,
    { to: givenTo, label, maker }: { readonly to: string; readonly label: string; readonly maker: string },
  ): Promise<DeviceStatus> {
    const name = existingName(given);
    const to = parseDeviceName(givenTo);
    const { pool, changes } = this.#parts;
    return changes.run([name, to], async () => {
      refuseBase(this.requireLive(name, maker), 'keeps its name');
      this.#refuseActive(name, 'kept');
      return this.#status(await pool.rename(name, to, { maker: PUSHED, label }));
    });
  }

  /** What `maker` makes, and is empty, gets what an image in a store has. */
  async attach(
    given: string,
    { maker, image }: { readonly maker: string; readonly image: NewRemoteImage },
  ): Promise<{ chunks: number }> {
    const name = existingName(given);
    const { pool, changes } = this.#parts;
    return changes.run([name], async () => {
      refuseBase(this.requireLive(name, maker), 'is of no image in a store');
      return pool.attachRemote(name, image);
    });
  }

  /** Fetches the rest of its image, in the background; `wait` is what this waits for of that. */
  async hydrate(
    given: string,
    wait: ((done: Promise<void>) => Promise<void>) | undefined,
  ): Promise<DeviceStatus> {
    const device = this.requireLive(existingName(given));
    const done = this.#parts.pool.hydrate(device.name);
    done.catch(() => undefined);
    await wait?.(done);
    return this.get(given);
  }

  /** As `ThinPool.firstReads`. */
  reads(name: string, maker?: string): { readonly blocks: readonly number[] } {
    return { blocks: this.#parts.pool.firstReads(this.requireLive(existingName(name), maker).name) };
  }

  /**
   * What the device held is lost, and it has another number from then on. Its name, kind and quota stay; its
   * size is the larger one of both.
   */
  async rollback(given: string, givenTo: string): Promise<DeviceStatus> {
    const name = existingName(given);
    const to = existingName(givenTo);
    if (name === to)
      throw new ThinError(
        'invalid-argument',
        `${name} cannot be rolled back to itself; name a snapshot of it`,
      );
    const { pool, changes } = this.#parts;
    return changes.run([name, to], async () => {
      const device = this.requireLive(name);
      refuseBase(device, 'is not rolled back');
      refuseLabelled(device, 'rolled back');
      if (device.kind === 'image')
        throw new ThinError('invalid-argument', `device ${name} is an image and does not change`, {
          details: { device: name },
        });
      this.requireLive(to);
      this.#refuseMounted(name, 'rolled back');
      this.#refuseActive(name, 'rolled back');
      return this.#status(await this.#frozen(to, () => pool.rollback(name, to)));
    });
  }

  /** Bytes. A mounted filesystem follows at once, any other at its next mount. */
  async grow(given: string, size: number): Promise<DeviceStatus> {
    const name = existingName(given);
    const { pool, changes, use } = this.#parts;
    return changes.run([name], async () => {
      this.requireLive(name);
      await use.follow(await pool.grow(name, size));
      return this.get(name);
    });
  }

  /** Bytes that it may map; 0: no limit. Errors: invalid-argument (it maps more already). */
  async setQuota(given: string, quota: number): Promise<DeviceStatus> {
    const name = existingName(given);
    const { pool, changes } = this.#parts;
    return changes.run([name], async () => {
      refuseBase(this.requireLive(name), 'has no quota');
      return this.#status(await pool.update(name, { quota }));
    });
  }

  /**
   * Bytes of its filesystem that may be in use; 0: all. A mounted filesystem follows at once, any other at
   * its next mount. Errors: invalid-argument.
   */
  async setLimit(given: string, limit: number): Promise<DeviceStatus> {
    const name = existingName(given);
    const { changes } = this.#parts;
    return changes.run([name], async () => {
      refuseBase(this.requireLive(name), 'has no limit');
      await this.bound(name, { limit });
      return this.get(name);
    });
  }

  /** The caller changes the device already (`DeviceChanges.run`). `size`: bytes, at least what it has. */
  async bound(
    name: DeviceName,
    change: { readonly size?: number | undefined; readonly limit: number; readonly label?: string },
  ): Promise<void> {
    const { pool, use } = this.#parts;
    const { size, ...kept } = change;
    requireLimit(name, kept.limit);
    if (size !== undefined) await pool.grow(name, size);
    await use.follow(await pool.update(name, kept));
  }

  /**
   * A device in use is marked deleted and is removed after its last user (`deferred`), or is `busy` where the
   * pool's option `deferredDeletion` is off. `force` takes it from its users first. What a push kept of it
   * goes within ten seconds (`UnfinishedDevices`).
   */
  async remove(given: string, { force = false } = {}): Promise<{ deferred: boolean }> {
    const name = existingName(given);
    const { changes, use } = this.#parts;
    return changes.run([name], async () => {
      const device = this.require(name);
      refuseBase(device, 'cannot be removed');
      const isKept = device.maker === KEPT_PART || device.maker === PUSHED;
      if (!force && !isKept) requireWhole(device);
      if (force) await use.release(name);
      else {
        if (!isKept) refuseLabelled(device, 'removed without --force');
        if (await use.putOff(device)) return { deferred: true };
      }
      await this.removeUnused(name);
      return { deferred: false };
    });
  }

  /**
   * For an adapter that keeps a record in the device's label. The caller changes the device already
   * (`DeviceChanges.run`). What becomes an image has no limit any more.
   */
  async relabel(
    name: DeviceName,
    change: { readonly label: string; readonly kind?: 'image'; readonly limit?: 0 },
  ): Promise<void> {
    await this.#parts.pool.update(name, change);
  }

  /**
   * For an adapter that has withdrawn the device. The caller changes it already. Errors: busy (it is mounted
   * or active).
   */
  async removeUnused(name: DeviceName): Promise<void> {
    this.#refuseMounted(name, 'removed');
    this.#refuseActive(name, 'removed');
    await this.#parts.pool.remove(name);
  }

  /** @throws ThinError not-found */
  require(name: DeviceName): DeviceInfo {
    const device = this.#parts.pool.device(name);
    if (device !== undefined) return device;
    const { lacks } = this.#parts.pool.info();
    throw new ThinError(
      'not-found',
      `no device ${name} in the pool of ${this.#parts.root}; thinfuse ls shows those that are there${lacks === undefined ? '' : `; ${lacks}`}`,
      { details: { device: name } },
    );
  }

  /**
   * A device that can be used for something new, or by `maker`, the process that makes it.
   * @throws ThinError not-found; busy, where it is marked deleted, or not whole
   */
  requireLive(name: DeviceName, maker?: string): DeviceInfo {
    const device = this.require(name);
    if (!isMadeBy(device, maker)) requireWhole(device);
    if (!device.deleted) return device;
    throw new ThinError(
      'busy',
      `device ${name} is marked deleted and is removed after its last user; thinfuse doctor names the user`,
      { details: { device: name } },
    );
  }

  /** The base device, with its filesystem. @throws ThinError damaged, where it has none */
  requireBase(): DeviceInfo {
    const base = this.require(BASE_NAME);
    requireFormatted(base);
    return base;
  }

  #status(device: DeviceInfo): DeviceStatus {
    return { ...device, ...this.#parts.use.placeOf(device.name) };
  }

  #refuseMounted(name: DeviceName, what: string): void {
    const { mountPoint } = this.#parts.use.placeOf(name);
    if (mountPoint !== undefined)
      throw new ThinError(
        'busy',
        `device ${name} is mounted on ${mountPoint} and cannot be ${what}; unmount it first with: thinfuse umount ${name}`,
        { details: { device: name, target: mountPoint } },
      );
  }

  #refuseActive(name: DeviceName, what: string): void {
    const { path } = this.#parts.use.placeOf(name);
    if (path !== undefined)
      throw new ThinError(
        'busy',
        `device ${name} is active as ${path} and cannot be ${what}; deactivate it first: thinfuse deactivate ${name}`,
        { details: { device: name, path } },
      );
  }
}

/** The name of a device that may be the base device. @throws ThinError invalid-argument */
export function existingName(name: string): DeviceName {
  return parseDeviceName(name, { allowBase: true });
}
