import { ThinError, toThinError } from '../errors/thin-error.js';
import { hiddenViewName, isHidden } from '../format/device-name.js';
import type { DeviceName } from '../format/ids.js';
import { isPassing } from '../format/passing-name.js';
import type { DeviceInfo } from '../pool/info.js';
import type { ThinPool } from '../pool/thin-pool.js';
import type { ActiveDevices } from './active-devices.js';
import type { DeviceHost, FreshMount, MountRequest } from './device-host.js';

/** A device's files, mounted read-only. */
export interface MountedView {
  readonly mounted: FreshMount;
  readonly request: MountRequest;
  /** The hidden snapshot that is mounted in the device's place, because the device's own log is not clean. */
  readonly view: DeviceName | undefined;
  /** Mounting the device itself made it active. */
  readonly activated: boolean;
  /** What the files may lack, and why; undefined: nothing. */
  readonly lacks: string | undefined;
}

export interface ViewAsk {
  /** No user relies on the device's bytes, so the kernel replays its own log. */
  readonly inPlace: boolean;
  /**
   * Before the image file is mounted: something may be left of it if this process ends. `fresh`: the device
   * is active for that alone.
   */
  readonly onImage: (image: string, fresh: DeviceName | undefined) => void;
}

/**
 * Read-only mounts that show all that was written. A filesystem whose writer died, and any xfs that was
 * snapshotted while mounted, has a log that must be replayed first. A view changes no device, so it is
 * replayed in a hidden snapshot, which is no user's (`isHidden`), goes with its mount, and, where a crash
 * left it, at the next start. Where the pool takes no writes the view is made without the log, and says so.
 */
export class ReplayedViews {
  readonly #pool: ThinPool;
  readonly #active: ActiveDevices;
  readonly #host: Pick<DeviceHost, 'mount'>;
  readonly #onWarning: (text: string) => void;
  readonly #onChanged: () => Promise<void>;
  /** Hidden snapshots that are about to be mounted, or are. */
  readonly #used = new Set<DeviceName>();
  readonly #removing = new Map<DeviceName, Promise<void>>();

  constructor(parts: {
    pool: ThinPool;
    active: ActiveDevices;
    host: Pick<DeviceHost, 'mount'>;
    onWarning?: (text: string) => void;
    /**
     * A hidden snapshot was made or removed, for which the pool counts a transaction as for any other. Never
     * rejects.
     */
    onChanged?: () => Promise<void>;
  }) {
    this.#pool = parts.pool;
    this.#active = parts.active;
    this.#host = parts.host;
    this.#onWarning = parts.onWarning ?? ((): void => undefined);
    this.#onChanged = parts.onChanged ?? ((): Promise<void> => Promise.resolve());
  }

  /** Undone on failure. The caller holds the device's lock. Errors: as `DeviceHost.mount`. */
  async mount(device: DeviceInfo, asked: Omit<MountRequest, 'image'>, ask: ViewAsk): Promise<MountedView> {
    const view = await this.#mount(device, asked, ask);
    if (view.lacks !== undefined) this.#onWarning(view.lacks);
    return view;
  }

  async #mount(device: DeviceInfo, asked: Omit<MountRequest, 'image'>, ask: ViewAsk): Promise<MountedView> {
    const plain = (log: 'clean' | 'replay' | undefined): Promise<MountedView> =>
      this.#mountItself(device, asked, log, ask.onImage);
    let dirty: unknown;
    if (!ask.inPlace)
      try {
        return await plain('clean');
      } catch (error) {
        if (!isRefusal(error)) throw error;
        dirty = error;
      }
    try {
      return ask.inPlace ? await plain('replay') : await this.#mountHidden(device, asked, ask.onImage);
    } catch (error) {
      const why = toThinError(error);
      if (why.code === 'internal' || why.code === 'closed') throw error;
      const view = await plain(undefined).catch(() => Promise.reject(toThinError(dirty ?? error)));
      // What the pool lacks comes before what the filesystem does.
      if (!view.mounted.skippedLog || view.lacks !== undefined) return view;
      const lacks = `device ${shownName(device)} is shown without what its filesystem's log holds, which may be the last seconds or minutes of what was written: the log cannot be replayed now (${why.message}). Nothing is lost; look again when the pool takes writes`;
      return { ...view, lacks };
    }
  }

  /** Called after the unmount. A view in use is removed after its last user. */
  async remove(view: DeviceName, { lazily }: { readonly lazily: boolean }): Promise<void> {
    this.#used.delete(view);
    if (lazily) await this.#active.deactivateAnyway(view);
    await this.#remove(view);
  }

  /** The last user closed the image file of `name`, which may be any device. Never rejects. */
  async idle(name: DeviceName): Promise<void> {
    if (!isHidden(name) || this.#used.has(name)) return;
    await this.#remove(name);
  }

  /**
   * Hidden snapshots go that an earlier daemon left, but for those in `kept`, whose mounts go on. Never
   * rejects.
   */
  async sweep(kept: readonly DeviceName[]): Promise<void> {
    for (const name of kept) this.#used.add(name);
    for (const { name } of this.#pool.devices({ hidden: true }))
      if (!this.#used.has(name)) await this.#remove(name);
  }

  async #mountItself(
    { name }: DeviceInfo,
    asked: Omit<MountRequest, 'image'>,
    log: MountRequest['log'],
    onImage: ViewAsk['onImage'],
  ): Promise<MountedView> {
    const { path: image, fresh, lacks } = await this.#active.activate(name);
    try {
      const request = { ...asked, image, ...(log === undefined ? {} : { log }) };
      onImage(image, fresh ? name : undefined);
      const mounted = await this.#host.mount(request);
      return { mounted, request, view: undefined, activated: fresh, lacks };
    } catch (error) {
      if (fresh) await this.#active.deactivate(name).catch(() => undefined);
      throw error;
    }
  }

  async #mountHidden(
    device: DeviceInfo,
    asked: Omit<MountRequest, 'image'>,
    onImage: ViewAsk['onImage'],
  ): Promise<MountedView> {
    const view = this.#unusedName(device);
    this.#used.add(view);
    try {
      await this.#pool.createSnapshot({ name: view, origin: device.name, kind: 'snapshot' });
      await this.#onChanged();
      const { path: image } = await this.#active.activate(view);
      const request = { ...asked, image, log: 'replay' as const };
      onImage(image, view);
      const mounted = await this.#host.mount(request);
      return { mounted, request, view, activated: true, lacks: undefined };
    } catch (error) {
      await this.remove(view, { lazily: false });
      throw error;
    }
  }

  #unusedName({ id }: DeviceInfo): DeviceName {
    for (let number = 1; ; number++) {
      const name = hiddenViewName(id, number);
      if (this.#pool.device(name) === undefined && !this.#used.has(name)) return name;
    }
  }

  #remove(name: DeviceName): Promise<void> {
    const removing =
      this.#removing.get(name) ?? this.#tryRemove(name).finally(() => this.#removing.delete(name));
    this.#removing.set(name, removing);
    return removing;
  }

  async #tryRemove(name: DeviceName): Promise<void> {
    try {
      if (this.#pool.device(name) === undefined) return;
      if (!(await this.#active.deactivate(name, { deferred: true }))) return;
      await this.#pool.remove(name);
      await this.#onChanged();
    } catch (error) {
      this.#onWarning(
        `${name}, which was made for a view, stays until the next start: ${toThinError(error).message}`,
      );
    }
  }
}

/** The one that a user asked for, where a snapshot stands for it meanwhile. */
function shownName({ name, originName }: DeviceInfo): string {
  return isPassing(name) ? (originName ?? name) : name;
}

/** mount(8) said no: for a log that is not clean, as far as can be told. */
function isRefusal(error: unknown): boolean {
  return error instanceof ThinError && error.code === 'tool-failed';
}
