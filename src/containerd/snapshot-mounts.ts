import type { MountMessage } from './messages.js';
import { askedBy } from './asked.js';
import { MOUNT_MODES, type MountMode } from './mount-mode.js';
import type { SnapshotRecord } from './snapshot-record.js';
import { ThinError } from '../errors/thin-error.js';
import type { DeviceName } from '../format/ids.js';
import type { DeviceInfo } from '../pool/info.js';
import type { ServedPool } from '../service/pool-service.js';

interface AttachedLoop {
  readonly loop: string;
  readonly image: string;
  /** What the view that it shows may lack. */
  readonly lacks: string | undefined;
}

/** How the files of snapshots are reached. The caller holds the device's lock. */
export class SnapshotMounts {
  readonly #served: ServedPool;
  readonly #loops = new Map<DeviceName, AttachedLoop>();

  constructor(served: ServedPool) {
    this.#served = served;
  }

  /**
   * Goes on with the loop devices of a daemon that died: they are still attached to what is still active.
   * Called before anything is presented.
   */
  async takeOver(names: readonly DeviceName[]): Promise<void> {
    const { active, mounts } = this.#served;
    for (const name of names) {
      const image = active.pathOf(name);
      if (image !== undefined && mounts.of(name) === undefined) await this.#adopt(name, image);
    }
  }

  /**
   * Mounts or attaches the device where it is not, and says what containerd is to mount. Errors: busy, and as
   * `DeviceHost.mount`.
   */
  async present(
    record: SnapshotRecord,
    device: DeviceInfo,
    usual: MountMode,
  ): Promise<readonly MountMessage[]> {
    const readOnly = record.kind !== 'active';
    const { mounts: mode = usual, mapping } = askedBy(record.labels);
    // The parent's files have their owners mapped already where containerd did that by itself.
    const mapped =
      mapping === undefined || record.remapped === true
        ? []
        : [`uidmap=${mapping.uids}`, `gidmap=${mapping.gids}`];
    // The pool may take writes again. A view in use stays as it is, and so does a loop device: an attempt to
    // detach it would take it from its users.
    if (this.#served.mounts.of(device.name)?.lacks !== undefined) await this.release(device.name);
    if (mode === 'loop') return [await this.#attach(device, readOnly, mapped)];
    await this.#requireReleased(device.name, this.#loops.has(device.name));
    const { target } = await this.#served.mounts.ensure(device, { readOnly, inPlace: readOnly });
    // containerd maps no owners in a bind that it is told to make read-only (core/mount/mount_linux.go, to
    // 2.4 at least); this one is read-only because the daemon's own mount is.
    const how = readOnly ? (mapped.length > 0 ? [] : ['ro']) : ['rw'];
    return [{ type: 'bind', source: target, options: ['rbind', ...how, ...mapped] }];
  }

  /**
   * Mounts a device for the first time: its filesystem grows to the size of the device and, with `bare`,
   * becomes an empty root for every later mount.
   */
  async prepare(device: DeviceInfo, options: { readonly bare: boolean }): Promise<void> {
    if (this.#loops.has(device.name)) return;
    await this.#served.access.ensureMounted(device, { first: options.bare });
  }

  /** After the device grew: a loop device of it shows that. One that the daemon mounted does by itself. */
  async follow(device: DeviceInfo): Promise<void> {
    const held = this.#loops.get(device.name);
    const { host } = this.#served;
    if (held === undefined || (await host.loopState(held.loop, held.image)) === 'gone') return;
    await host.growAttached(held.loop, device.filesystem, device.size);
  }

  /**
   * True: no process can write to the device any more. False: another process has it mounted or open, and it
   * does not change.
   */
  async release(name: DeviceName): Promise<boolean> {
    return (await this.#detach(name)) && (await this.#served.mounts.withdraw(name));
  }

  /** What a view may lack where it is mounted or attached, and why; undefined: nothing. */
  lacks(name: DeviceName): string | undefined {
    return (this.#loops.get(name) ?? this.#served.mounts.of(name))?.lacks;
  }

  /** Where the daemon has the device mounted for writing, and so can freeze it. */
  isFreezable(name: DeviceName): boolean {
    return this.#served.mounts.of(name)?.readOnly === false;
  }

  /** Of a device that the daemon has mounted; undefined otherwise. */
  async inodes(name: DeviceName): Promise<number | undefined> {
    const mounted = this.#served.mounts.of(name);
    return mounted === undefined ? undefined : this.#served.host.inodes(mounted.target);
  }

  /** Detaches unused loop devices. Loop devices in use stay, and their devices stay active. */
  async releaseLoops(): Promise<void> {
    for (const name of [...this.#loops.keys()]) await this.#detach(name);
  }

  async #attach(device: DeviceInfo, readOnly: boolean, mapped: readonly string[]): Promise<MountMessage> {
    const { mounts, active, host } = this.#served;
    await this.#requireReleased(device.name, mounts.of(device.name) !== undefined);
    let loop = await this.#attached(device.name);
    if (loop === undefined) {
      const lacks = readOnly ? await this.#settle(device) : undefined;
      const { path: image } = await active.activate(device.name);
      await this.#adopt(device.name, image);
      loop = await this.#attached(device.name);
      if (loop === undefined) {
        try {
          ({ loop } = await host.attach(image, { readOnly }));
        } catch (error) {
          await active.deactivate(device.name).catch(() => undefined);
          throw error;
        }
        this.#loops.set(device.name, { loop, image, lacks });
      }
    }
    const xfs = device.filesystem === 'xfs';
    const ofView = readOnly ? [xfs ? 'norecovery' : 'noload'] : [];
    return {
      type: device.filesystem,
      source: loop,
      options: [readOnly ? 'ro' : 'rw', ...(xfs ? ['nouuid'] : []), ...ofView, ...mapped],
    };
  }

  /** A second loop device on the image would destroy the filesystem. */
  async #adopt(name: DeviceName, image: string): Promise<void> {
    const loop = await this.#served.host.loopOf(image);
    if (loop !== undefined) this.#loops.set(name, { loop, image, lacks: undefined });
  }

  /**
   * Replays the log of a view's device. A program that mounts a read-only block device, perhaps in a virtual
   * machine, cannot do this itself.
   * @returns what the device lacks all the same
   */
  async #settle(device: DeviceInfo): Promise<string | undefined> {
    const { mounts } = this.#served;
    const { lacks } = await mounts.mount(device, { readOnly: true, inPlace: true });
    await mounts.unmount(device.name);
    return lacks;
  }

  /** Two ways into one filesystem would destroy it. */
  async #requireReleased(name: DeviceName, otherwise: boolean): Promise<void> {
    if (!otherwise || (await this.release(name))) return;
    throw new ThinError(
      'busy',
      `device ${name} is mounted in another way (${MOUNT_MODES.join(' or ')}) than this call asks for; unmount it everywhere first`,
      { details: { device: name } },
    );
  }

  /**
   * Errors: busy: it was let go of while in use, and a second one on the same image would destroy the
   * filesystem.
   */
  async #attached(name: DeviceName): Promise<string | undefined> {
    const held = this.#loops.get(name);
    if (held === undefined) return undefined;
    const state = await this.#served.host.loopState(held.loop, held.image);
    if (state === 'attached') return held.loop;
    if (state === 'leaving')
      throw new ThinError(
        'busy',
        `${held.loop} of device ${name} is still in use, though its device was released; end the process that uses it first`,
        { details: { device: name, loop: held.loop } },
      );
    this.#loops.delete(name);
    return undefined;
  }

  async #detach(name: DeviceName): Promise<boolean> {
    const held = this.#loops.get(name);
    if (held === undefined) return true;
    const { host } = this.#served;
    const state = await host.loopState(held.loop, held.image);
    if (state === 'leaving') return false;
    try {
      if (state === 'attached') await host.detach(held.loop, held.image);
    } catch (error) {
      if (error instanceof ThinError && error.code === 'busy') return false;
      throw error;
    }
    this.#loops.delete(name);
    return true;
  }
}
