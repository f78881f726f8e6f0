import path from 'node:path';
import { ThinError } from '../errors/thin-error.js';
import type { DeviceName } from '../format/ids.js';
import type { DeviceInfo } from '../pool/info.js';
import type { ThinPool } from '../pool/thin-pool.js';
import type { ActiveDevices } from './active-devices.js';
import type { DeviceHost, Mounted, MountRequest, RootPermissions } from './device-host.js';
import { closeAgain, openToOthers, requireOwnFolder } from '../host/own-paths.js';
import { refuseBlank, refuseUnmountable } from './mount-refusals.js';
import type { MountedView, ReplayedViews, ViewAsk } from './replayed-views.js';

interface MountRecord extends Mounted {
  readonly request: MountRequest;
  readonly readOnly: boolean;
  /** The filesystem on the device, as blkid names it. */
  readonly filesystem?: string | undefined;
  /** The hidden snapshot that is mounted in the device's place. */
  readonly view?: string | undefined;
  /** What its files may lack. */
  readonly lacks?: string | undefined;
  /** The device's limit is set in its filesystem. */
  bounded?: boolean | undefined;
  /** The folder was made for this mount and is removed with it. */
  readonly madeTarget: boolean;
  /** The mount brought the image file up, so it takes it down. */
  readonly activated: boolean;
  /** A caller asked for the mount itself, not only for a view. */
  pinned: boolean;
  /** Views by the pid of their reader. */
  readonly viewers: Map<number, number>;
}

/** A mount as one daemon leaves it to the next. */
export interface HandedMount extends Omit<MountRecord, 'viewers'> {
  readonly name: string;
  readonly viewers: readonly (readonly [pid: number, views: number])[];
}

/**
 * What a daemon that goes on needs to know from now on: a mount, or an image file that something may be left
 * of if this process ends now, with the device that is active for that alone, or ''; null: it is gone.
 */
export type MountChange =
  | readonly ['mount', name: DeviceName, mount: HandedMount | null]
  | readonly ['unfinished', image: string, device: string | null];

export interface MountAsk {
  readonly target?: string | undefined;
  readonly readOnly?: boolean | undefined;
  /**
   * Of a read-only mount of a device without other users: a log that is not clean is replayed in the device
   * itself.
   */
  readonly inPlace?: boolean | undefined;
  /** For mount(8), beside the pool's own, comma-separated. */
  readonly options?: string | undefined;
  /** Of the root of its filesystem, from now on; of a mount for writing alone. */
  readonly permissions?: RootPermissions | undefined;
  /**
   * Where no target is given: it is mounted where users other than root reach it, on `<root>/shared/NAME`.
   * The other folders of the root stay closed to them.
   */
  readonly allowOther?: boolean | undefined;
}

interface MountHow {
  readonly readOnly: boolean;
  readonly inPlace: boolean;
  readonly options: string;
  /** The target is removed with this mount. */
  readonly madeTarget?: boolean;
}

/** A mount, and what of the device it shows. */
export interface DeviceMount extends Mounted {
  readonly readOnly: boolean;
  /** The hidden snapshot that is mounted in the device's place. */
  readonly view?: string | undefined;
  /** What its files may lack, and why; undefined: nothing. */
  readonly lacks?: string | undefined;
}

/** Which device is mounted where. The caller holds the device's lock. */
export class DeviceMounts {
  readonly #pool: ThinPool;
  readonly #active: ActiveDevices;
  readonly #host: DeviceHost;
  readonly #views: ReplayedViews;
  readonly #folder: string;
  readonly #openFolder: string;
  readonly #isAlive: (pid: number) => boolean;
  readonly #onChanged: (change: MountChange) => void;
  readonly #mounted = new Map<DeviceName, MountRecord>();

  constructor(parts: {
    pool: ThinPool;
    active: ActiveDevices;
    host: DeviceHost;
    views: ReplayedViews;
    /** `<root>/mnt`. */
    folder: string;
    /** `<root>/shared`. */
    openFolder: string;
    isAlive?: (pid: number) => boolean;
    onChanged?: (change: MountChange) => void;
  }) {
    this.#pool = parts.pool;
    this.#active = parts.active;
    this.#host = parts.host;
    this.#views = parts.views;
    this.#folder = parts.folder;
    this.#openFolder = parts.openFolder;
    this.#isAlive = parts.isAlive ?? isAlive;
    this.#onChanged = parts.onChanged ?? ((): void => undefined);
  }

  /** The oldest mount first; a device mounted inside another's files comes behind it. */
  names(): readonly DeviceName[] {
    return [...this.#mounted.keys()];
  }

  get count(): number {
    return this.#mounted.size;
  }

  /** What another daemon needs to go on with these mounts. */
  handOver(): HandedMount[] {
    return [...this.#mounted].map(([name, record]) => handed(name, record));
  }

  /** Mounts that an earlier daemon made and left as they are. */
  takeOver(mounts: readonly HandedMount[]): void {
    for (const { name, viewers, ...record } of mounts)
      this.#mounted.set(name as DeviceName, { ...record, viewers: new Map(viewers) });
  }

  /** Hidden snapshots that are mounted. */
  views(): readonly DeviceName[] {
    return [...this.#mounted.values()]
      .map(({ view }) => view as DeviceName | undefined)
      .filter((view) => view !== undefined);
  }

  of(name: DeviceName): DeviceMount | undefined {
    return this.#mounted.get(name);
  }

  /**
   * Mounts the device; where it is mounted on that target in that way already, says so. Errors: busy (mounted
   * elsewhere or otherwise; something else is mounted on the target), invalid-argument (an image for
   * writing).
   */
  async mount(device: DeviceInfo, ask: MountAsk): Promise<DeviceMount> {
    const folder = ask.allowOther === true ? this.#openFolder : this.#folder;
    const target = ask.target ?? path.join(folder, device.name);
    const readOnly = ask.readOnly ?? false;
    const present = this.#mounted.get(device.name);
    if (present === undefined) refuseUnmountable(device, readOnly);
    if (readOnly && ask.permissions !== undefined)
      throw new ThinError(
        'invalid-argument',
        `device ${device.name} is mounted read-only, so --owner and --mode cannot change its root`,
        { details: { device: device.name } },
      );
    const how = { readOnly, inPlace: ask.inPlace ?? false, options: ask.options ?? '' };
    const mayBeElsewhere = ask.target === undefined && readOnly && ask.allowOther !== true;
    const record =
      present ??
      (mayBeElsewhere ? await this.#bringUpView(device, how) : await this.#bringUp(device, target, how));
    if (present !== undefined) {
      const isThere = mayBeElsewhere && this.#host.isViewTarget(present.target);
      await this.#join(device.name, present, { ...ask, target: isThere ? present.target : target, readOnly });
    }
    if (ask.permissions !== undefined) await this.#host.setPermissions(record.target, ask.permissions);
    record.pinned = true;
    this.#tell(device.name, record);
    return record;
  }

  /** Errors: not-found (not mounted), busy (a process works in it, or a diff or export reads it). */
  async unmount(name: DeviceName, options: { lazily?: boolean } = {}): Promise<void> {
    const record = this.#mounted.get(name);
    if (record === undefined)
      throw new ThinError('not-found', `device ${name} is not mounted; thinfuse ls shows what is`, {
        details: { device: name },
      });
    const lazily = options.lazily ?? false;
    const viewer = this.#liveViewers(record)[0];
    if (viewer !== undefined && !lazily)
      throw new ThinError(
        'busy',
        `device ${name} is being read on ${record.target} by a diff or an export (pid ${viewer}); wait for it, or end it`,
        { details: { device: name, pid: viewer } },
      );
    await this.#takeDown(name, record, lazily);
  }

  /** As `mount`; a device that another program unmounted is mounted again. */
  async ensure(device: DeviceInfo, ask: MountAsk): Promise<DeviceMount> {
    const present = this.#mounted.get(device.name);
    if (present !== undefined && (await this.#host.restore(present, present.request)) && !present.readOnly)
      if (device.limit !== undefined) await this.#bound(device, present);
    return this.mount(device, ask);
  }

  /**
   * Unmounts and deactivates a device without other users: true then. False if another user has its files; it
   * does not change then.
   */
  async withdraw(name: DeviceName): Promise<boolean> {
    const record = this.#mounted.get(name);
    if (record !== undefined) {
      if (this.#liveViewers(record).length > 0) return false;
      if (!(await this.#host.withdraw(record, record.request))) return false;
      this.#forget(name);
      if (record.madeTarget) await this.#host.removeTarget(record.target);
      await this.#removeView(record, false);
    }
    try {
      await this.#active.deactivate(name);
      return true;
    } catch (error) {
      if (error instanceof ThinError && error.code === 'busy') return false;
      throw error;
    }
  }

  /** See the operation `view.open`. */
  async openView(device: DeviceInfo, holder: number): Promise<DeviceMount> {
    const how = { readOnly: true, inPlace: false, options: '' };
    const record = this.#mounted.get(device.name) ?? (await this.#bringUpView(device, how));
    record.viewers.set(holder, (record.viewers.get(holder) ?? 0) + 1);
    this.#tell(device.name, record);
    return record;
  }

  /** Devices that are mounted for readers alone, all of which died. */
  abandoned(): readonly DeviceName[] {
    return this.names().filter((name) => this.#isAbandoned(name));
  }

  /** Takes the mount of such a device down. Errors: busy (a process works in it). */
  async reap(name: DeviceName): Promise<void> {
    const record = this.#mounted.get(name);
    if (record !== undefined && this.#isAbandoned(name)) await this.#takeDown(name, record, false);
  }

  /** Devices whose mount another program undid, such as umount(8), so that nothing shows their files here. */
  async undone(): Promise<readonly DeviceName[]> {
    const gone = new Set(await this.#host.unmounted([...this.#mounted.values()]));
    return [...this.#mounted].filter(([, record]) => gone.has(record)).map(([name]) => name);
  }

  /** Lets go of such a device. Errors: busy (something else uses it, such as another mount namespace). */
  async releaseUndone(name: DeviceName): Promise<void> {
    const record = this.#mounted.get(name);
    if (record !== undefined && (await this.#host.unmounted([record])).length > 0)
      await this.#takeDown(name, record, false);
  }

  /** Idempotent. The last view unmounts a device that no caller mounted. */
  async closeView(name: DeviceName, holder: number): Promise<void> {
    const record = this.#mounted.get(name);
    if (record === undefined) return;
    const left = (record.viewers.get(holder) ?? 0) - 1;
    if (left > 0) record.viewers.set(holder, left);
    else record.viewers.delete(holder);
    this.#tell(name, record);
    if (!record.pinned && this.#liveViewers(record).length === 0) await this.#takeDown(name, record, false);
  }

  /**
   * After the device's size or limit changed: a mounted filesystem follows at once, any other at its next
   * mount.
   */
  async follow(device: DeviceInfo): Promise<void> {
    const record = this.#mounted.get(device.name);
    if (record === undefined || record.readOnly) return;
    if (device.filesystemSize < device.size) await this.#fill(device, record);
    if (device.limit === undefined && record.bounded !== true) return;
    await this.#bound(device, record);
    record.bounded = device.limit !== undefined;
    this.#tell(device.name, record);
  }

  /** On a disk that takes no folder, the view is elsewhere. */
  async #bringUpView(device: DeviceInfo, how: MountHow): Promise<MountRecord> {
    try {
      return await this.#bringUp(device, path.join(this.#folder, device.name), how);
    } catch (error) {
      if (!(error instanceof ThinError) || error.details['stage'] !== 'target') throw error;
      return this.#bringUp(device, await this.#host.makeViewTarget(), { ...how, madeTarget: true });
    }
  }

  async #bringUp(
    device: DeviceInfo,
    target: string,
    { readOnly, inPlace, options: extra, madeTarget: wasMade = false }: MountHow,
  ): Promise<MountRecord> {
    const undo: (() => Promise<unknown>)[] = [];
    const isOpen = isIn(this.#openFolder, target);
    const isOwn = isOpen || isIn(this.#folder, target);
    if (isOwn) await requireOwnFolder(target);
    if (isOpen) await openToOthers(this.#openFolder);
    const unfinished = new Set<string>();
    const onImage: ViewAsk['onImage'] = (image, fresh) => {
      unfinished.add(image);
      this.#onChanged(['unfinished', image, fresh ?? '']);
    };
    try {
      // A folder of the daemon's own that a crash left behind is removed with this mount, too.
      const madeTarget = (await this.#host.makeTarget(target)) || isOwn || wasMade;
      if (madeTarget) undo.push(() => this.#host.removeTarget(target));
      const options = this.#pool.info().options;
      const asked = {
        target,
        filesystem: device.filesystem,
        readOnly,
        mountOptions: [options.mountOptions, extra].filter((words) => words !== '').join(','),
        xfsNospaceMaxRetries: options.xfsNospaceMaxRetries,
      };
      const mounting = readOnly
        ? this.#views.mount(device, asked, { inPlace, onImage })
        : this.#mountForWriting(device, asked, onImage);
      const { mounted, ...made } = await mounting.catch((error: unknown) => refuseBlank(device, error));
      const record: MountRecord = {
        ...made,
        target: mounted.target,
        loop: mounted.loop,
        filesystem: mounted.filesystem,
        readOnly,
        bounded: !readOnly && device.limit !== undefined,
        madeTarget,
        pinned: false,
        viewers: new Map(),
      };
      this.#mounted.set(device.name, record);
      this.#tell(device.name, record);
      return record;
    } catch (error) {
      for (const step of undo.reverse()) await step().catch(() => undefined);
      throw error;
    } finally {
      for (const image of unfinished) this.#onChanged(['unfinished', image, null]);
    }
  }

  async #mountForWriting(
    device: DeviceInfo,
    asked: Omit<MountRequest, 'image'>,
    onImage: ViewAsk['onImage'],
  ): Promise<MountedView> {
    const undo: (() => Promise<unknown>)[] = [];
    try {
      const { path: image, fresh, lacks } = await this.#active.activate(device.name);
      if (fresh) undo.push(() => this.#active.deactivate(device.name));
      const request = { ...asked, image };
      onImage(image, fresh ? device.name : undefined);
      const mounted = await this.#host.mount(request);
      undo.push(() => this.#host.unmount({ ...mounted, image }, { lazily: true }));
      if (device.filesystemSize < device.size) await this.#fill(device, mounted);
      if (device.limit !== undefined) await this.#bound(device, mounted);
      // The content of a device belongs to the program that keeps it, from the root on, and so does a
      // filesystem that it made.
      if (device.label === '' && isRootfs(device) && mounted.filesystem === device.filesystem)
        await this.#host.furnish(mounted.target, device.name);
      return { mounted, request, view: undefined, activated: fresh, lacks };
    } catch (error) {
      for (const step of undo.reverse()) await step().catch(() => undefined);
      throw error;
    }
  }

  async #takeDown(name: DeviceName, record: MountRecord, lazily: boolean): Promise<void> {
    const deferred = this.#pool.info().options.deferredRemoval;
    const { target, loop, request } = record;
    await this.#host.unmount({ target, loop, image: request.image }, { lazily }).catch((error: unknown) => {
      if (!deferred || !isLeftBehind(error)) throw error;
    });
    this.#forget(name);
    if (record.madeTarget) await this.#host.removeTarget(record.target);
    if (isIn(this.#openFolder, target)) await this.#closeOpenFolder();
    await this.#removeView(record, lazily);
    if (record.view !== undefined || !record.activated) return;
    if (lazily) await this.#active.deactivateAnyway(name);
    else await this.#active.deactivate(name, { deferred });
  }

  async #closeOpenFolder(): Promise<void> {
    const isUsed = [...this.#mounted.values()].some(({ target }) => isIn(this.#openFolder, target));
    if (!isUsed) await closeAgain(this.#openFolder);
  }

  #forget(name: DeviceName): void {
    this.#mounted.delete(name);
    this.#onChanged(['mount', name, null]);
  }

  async #removeView({ view }: MountRecord, lazily: boolean): Promise<void> {
    if (view !== undefined) await this.#views.remove(view as DeviceName, { lazily });
  }

  async #fill(
    device: DeviceInfo,
    mounted: Mounted & { readonly filesystem?: string | undefined },
  ): Promise<void> {
    const carried = mounted.filesystem ?? device.filesystem;
    // A filesystem that the user made there may be unable to grow, and keeps its size.
    if (carried === 'xfs' || carried === 'ext4') await this.#host.grow(mounted, carried, device.size);
    await this.#pool.update(device.name, { filesystemSize: device.size });
  }

  /** What a user made there instead of the filesystem that was expected has no limit but its own. */
  async #bound(
    device: DeviceInfo,
    mounted: Mounted & { readonly filesystem?: string | undefined },
  ): Promise<void> {
    const carried = mounted.filesystem ?? device.filesystem;
    if (carried === 'xfs' || carried === 'ext4') await this.#host.bound(mounted, carried, device.limit);
  }

  /** The mount that is there, as it was asked for; again where another program undid it. */
  async #join(
    name: DeviceName,
    present: MountRecord,
    { target, readOnly, options }: { target: string; readOnly: boolean; options?: string | undefined },
  ): Promise<void> {
    if (present.target === target && present.readOnly === readOnly) {
      if ((await this.#host.unmounted([present])).length > 0)
        await this.#host.restore(present, present.request);
      const { mountOptions } = present.request;
      if (options === undefined || options === '' || `,${mountOptions}`.endsWith(`,${options}`)) return;
      throw new ThinError(
        'busy',
        `device ${name} is mounted with other options (${mountOptions}); unmount it first with: thinfuse umount ${name}`,
        { details: { device: name, target } },
      );
    }
    throw new ThinError(
      'busy',
      `device ${name} is already mounted on ${present.target} (${present.readOnly ? 'read-only' : 'read-write'}); unmount it first with: thinfuse umount ${name}`,
      { details: { device: name, target: present.target } },
    );
  }

  #tell(name: DeviceName, record: MountRecord): void {
    this.#onChanged(['mount', name, handed(name, record)]);
  }

  #isAbandoned(name: DeviceName): boolean {
    const record = this.#mounted.get(name);
    return record?.pinned === false && this.#liveViewers(record).length === 0;
  }

  #liveViewers(record: MountRecord): number[] {
    for (const pid of record.viewers.keys()) if (!this.#isAlive(pid)) record.viewers.delete(pid);
    return [...record.viewers.keys()];
  }
}

function handed(name: DeviceName, { viewers, ...record }: MountRecord): HandedMount {
  return { name, ...record, viewers: [...viewers] };
}

/**
 * Unmounted from its target, and still in use by another mount of the same filesystem (`Mounter.unmount`).
 */
function isLeftBehind(error: unknown): boolean {
  return error instanceof ThinError && error.code === 'busy' && error.details['stage'] === 'detach';
}

function isIn(folder: string, target: string): boolean {
  return path.dirname(target) === folder;
}

function isRootfs({ content = 'rootfs' }: DeviceInfo): boolean {
  return content === 'rootfs';
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it lives, but belongs to another user.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
