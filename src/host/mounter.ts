import { access, realpath } from 'node:fs/promises';
import path from 'node:path';
import { ThinError, systemErrorCode } from '../errors/thin-error.js';
import { BlockMounts, type BlockMountRequest, type MountedBlock } from './block-mounts.js';
import { saidBy, type Exec } from './exec.js';
import type { Bound, FilesystemTools } from './filesystem-tools.js';
import type { Filesystem, FormatOptions } from './filesystems.js';
import { describeHolders, namespacesWith, processesIn } from './holders.js';
import type { LoopDevices } from './loop-devices.js';
import { MountTable } from './mount-table.js';
import { failXfsOnErrors, setNospaceRetries } from './xfs-retries.js';

/** `log`: `replay` attaches the image for writing, so no other process may use it. */
export interface ImageMountRequest extends BlockMountRequest {
  /** An existing folder. */
  readonly target: string;
  /** Only for xfs mounted for writing; xfs keeps trying for ever unless told. */
  readonly xfsNospaceMaxRetries?: number;
}

export interface MountedImage extends MountedBlock {
  readonly image: string;
  readonly loop: string;
  /** As the mount table shows it: absolute, without symbolic links. */
  readonly target: string;
  readonly directIo: boolean;
  /** What did not work and did not keep it from being mounted. */
  readonly warnings: readonly string[];
}

/** Where an image is mounted, as `mount` told it. */
export type Attached = Pick<MountedImage, 'loop' | 'target'>;

/**
 * The same with its image: when it is released, the number of its loop device may belong to another program.
 */
export type Held = Pick<MountedImage, 'loop' | 'target' | 'image'>;

export interface MounterLimits {
  /** Milliseconds; a mount may replay a log, an unmount may write all that is dirty. */
  readonly mountMs: number;
  readonly unmountMs: number;
}

const MOUNTER_LIMITS: MounterLimits = { mountMs: 120_000, unmountMs: 300_000 };

/** Mounts image files: a loop device with direct I/O, then its filesystem. */
export class Mounter {
  readonly #exec: Exec;
  readonly #loops: LoopDevices;
  readonly #filesystems: FilesystemTools;
  readonly #blocks: BlockMounts;
  readonly #limits: MounterLimits;

  constructor(
    exec: Exec,
    loops: LoopDevices,
    filesystems: FilesystemTools,
    limits: MounterLimits = MOUNTER_LIMITS,
  ) {
    this.#exec = exec;
    this.#loops = loops;
    this.#filesystems = filesystems;
    this.#blocks = new BlockMounts(exec, filesystems, limits.mountMs);
    this.#limits = limits;
  }

  /**
   * Undone on failure. Errors: busy (the image is on another loop device, where two mounts would destroy each
   * other; something is mounted on the target), not-found, missing-device, missing-tool, permission, and
   * those of `BlockMounts.mount`.
   */
  async mount(request: ImageMountRequest): Promise<MountedImage> {
    const target = await resolveTarget(request.target);
    await this.#refuseUsed(request, target);
    const {
      device: loop,
      backingFile: image,
      directIo,
    } = await this.#loops.attach(request.image, { readOnly: !writes(request) });
    let mounted = false;
    try {
      const found = await this.#blocks.mount(loop, target, request);
      mounted = true;
      const warnings = await this.#settle(loop, directIo, found, request);
      return { image, loop, target, directIo, ...found, warnings };
    } catch (error) {
      if (mounted) await this.#umount([target]).catch(() => undefined);
      await this.#loops.detach(loop, image).catch(() => undefined);
      throw error;
    }
  }

  /**
   * Unmounts, then detaches; what is done already is fine. Errors: busy, naming who works in it (nothing has
   * changed then), or naming who else has the filesystem mounted (it is gone from `target`, but the loop
   * device stays until they let go, see `details.stage`). `lazily`: writes out what can be written, then lets
   * go in any case.
   */
  async unmount(mounted: Held, options: { readonly lazily?: boolean } = {}): Promise<void> {
    // A mount holds its loop device: where that is gone, so is the mount.
    if (!this.#loops.isBehind(mounted.loop, mounted.image)) return;
    const target = await realpath(mounted.target).catch(() => mounted.target);
    if (options.lazily === true) {
      await this.#unmountLazily(target, mounted);
      return;
    }
    const there = (await MountTable.read()).on(target);
    if (there !== undefined && new MountTable([there]).ofLoop(mounted.loop).length > 0)
      await this.#unmountTarget(target);
    await this.#detach(mounted);
  }

  /**
   * Unmounts, and detaches where that was the filesystem's last mount in any namespace: true then, and
   * nothing can write to the image any more. False if another program still has it: it is mounted on its
   * target as before. Errors: as `unmount`, but for busy mounts.
   */
  async withdraw(mounted: Attached, request: ImageMountRequest): Promise<boolean> {
    const row = (await MountTable.read()).on(mounted.target);
    try {
      await this.#unmountTarget(mounted.target);
    } catch (error) {
      if (error instanceof ThinError && error.code === 'busy') return false;
      throw error;
    }
    if (await this.#isMountedAnywhere(mounted.loop, row?.type ?? request.filesystem)) {
      await this.#blocks.mount(mounted.loop, mounted.target, request);
      return false;
    }
    await this.#loops.detach(mounted.loop, request.image);
    return true;
  }

  /**
   * Restores a mount that another program removed, while its loop device is still attached: true then.
   * Errors: busy (it is not), as `mount`.
   */
  async restore(mounted: Attached, request: ImageMountRequest): Promise<boolean> {
    const there = (await MountTable.read()).on(mounted.target);
    if (there !== undefined && new MountTable([there]).ofLoop(mounted.loop).length > 0) return false;
    if ((await this.#loops.get(mounted.loop))?.backingFile !== request.image)
      throw new ThinError(
        'busy',
        `${mounted.target} was unmounted and ${mounted.loop} detached by another program; run thinfuse umount on the device, and try again`,
        { details: { target: mounted.target, loop: mounted.loop } },
      );
    await this.#blocks.mount(mounted.loop, mounted.target, request);
    return true;
  }

  /** Errors: as `FilesystemTools.bound`. */
  async bound(mounted: Attached, filesystem: Filesystem, bytes: Bound): Promise<void> {
    await this.#filesystems.bound(filesystem, mounted, bytes);
  }

  /**
   * The loop device takes its file's size (at least `expected` bytes, where given), the filesystem its
   * device's. Errors: busy (an ext4 in use, where the process lacks CAP_SYS_RESOURCE and so cannot grow it
   * mounted), as the tools'.
   */
  async grow(
    mounted: { readonly loop: string; readonly target: string },
    filesystem: Filesystem,
    expected?: number,
  ): Promise<void> {
    await this.#loops.setCapacity(mounted.loop, expected);
    try {
      await this.#filesystems.grow(filesystem, mounted, expected);
    } catch (error) {
      if (filesystem !== 'ext4' || !saidBy(error, /permission denied to resize/i)) throw error;
      await this.#growUnmounted(mounted);
    }
  }

  /** A filesystem that another program mounted; it stays mounted whatever happens. Errors: as the tools'. */
  async growInPlace(
    mounted: { readonly loop: string; readonly target: string },
    filesystem: Filesystem,
    expected: number,
  ): Promise<void> {
    await this.#filesystems.grow(filesystem, mounted, expected);
  }

  /**
   * Makes a filesystem in an image file, through a loop device. Errors: busy (it is on a loop device), as
   * `FilesystemTools.format`.
   */
  async format(
    image: string,
    filesystem: Filesystem,
    options: FormatOptions = {},
  ): Promise<{ readonly uuid: string }> {
    await this.#filesystems.requireTools(filesystem);
    await this.#refuseAttached(image, false);
    const { device, backingFile } = await this.#loops.attach(image);
    try {
      return await this.#filesystems.format(filesystem, device, options);
    } finally {
      await this.#loops.detach(device, backingFile);
    }
  }

  /**
   * Runs `work` while every filesystem that is mounted for writing from `image`, by whomever, is frozen;
   * thaws whatever happens. A filesystem that only other mount namespaces have mounted is not seen.
   */
  async frozen<T>(image: string, work: () => Promise<T>): Promise<T> {
    return this.#filesystems.frozen(await this.#writableMountsOf(image), work);
  }

  /** What another program left frozen of what `frozen` would freeze. Returns where. */
  async thaw(image: string): Promise<readonly string[]> {
    const thawed: string[] = [];
    for (const target of await this.#writableMountsOf(image)) {
      const done = this.#filesystems.thaw(target).then(() => thawed.push(target));
      // It was not frozen.
      await done.catch(() => undefined);
    }
    return thawed;
  }

  async #writableMountsOf(image: string): Promise<readonly string[]> {
    const table = await MountTable.read();
    return table
      .onLoops()
      .filter(([device]) => this.#loops.isOn(device, image))
      .map(([, rows]) =>
        // A mount that another one hides cannot be reached by its path.
        rows.find((row) => table.on(row.target) === row && !isReadOnly(row.superOptions)),
      )
      .filter((row) => row !== undefined)
      .map((row) => row.target);
  }

  /** Errors: as `FilesystemTools.trim`. */
  async trim(target: string): Promise<number> {
    return this.#filesystems.trim(target);
  }

  /** ext4 grows while mounted only for CAP_SYS_RESOURCE, which many containers are not given. */
  async #growUnmounted({ loop, target }: { readonly loop: string; readonly target: string }): Promise<void> {
    const row = (await MountTable.read()).on(await resolveTarget(target));
    await this.#unmountTarget(target);
    try {
      if (await this.#isMountedAnywhere(loop, 'ext4'))
        throw new ThinError(
          'busy',
          `the ext4 on ${target} is mounted elsewhere too, and this process lacks CAP_SYS_RESOURCE, which is needed to grow it in use; it grows at its next mount`,
          { details: { target, loop } },
        );
      await this.#filesystems.growUnmountedExt4(loop);
    } finally {
      const options = [row?.options, row?.superOptions].filter((words) => words !== undefined).join(',');
      await this.#exec.run('mount', ['-t', 'ext4', '-o', options, loop, target], {
        timeoutMs: this.#limits.mountMs,
      });
    }
  }

  async #settle(
    loop: string,
    directIo: boolean,
    { filesystem }: MountedBlock,
    request: ImageMountRequest,
  ): Promise<readonly string[]> {
    const warnings: string[] = [];
    if (!directIo) warnings.push(`${loop} works without direct I/O, so ${request.image} is cached twice`);
    if (filesystem !== 'xfs' || !writes(request)) return warnings;
    await failXfsOnErrors(loop);
    if (request.xfsNospaceMaxRetries === undefined) return warnings;
    try {
      await setNospaceRetries(loop, request.xfsNospaceMaxRetries);
    } catch (error) {
      if (!(error instanceof ThinError)) throw error;
      warnings.push(error.message);
    }
    return warnings;
  }

  async #refuseUsed(request: ImageMountRequest, target: string): Promise<void> {
    const there = (await MountTable.read()).on(target);
    if (there !== undefined)
      throw new ThinError(
        'busy',
        `${there.source} is mounted on ${target}; unmount it, or choose another target`,
        { details: { target } },
      );
    await this.#refuseAttached(request.image, !writes(request));
  }

  async #refuseAttached(image: string, readOnly: boolean): Promise<void> {
    const other = (await this.#loops.findByBackingFile(image)).find((loop) => !(readOnly && loop.readOnly));
    if (other === undefined) return;
    throw new ThinError(
      'busy',
      `${image} is attached to ${other.device}, and a second use of it would damage the filesystem; unmount what is mounted from there, then: losetup --detach ${other.device}`,
      { details: { path: image, loop: other.device } },
    );
  }

  async #unmountTarget(target: string): Promise<void> {
    try {
      await this.#umount([target]);
    } catch (error) {
      if (saidBy(error, /not mounted|no mount point/i)) return;
      if (!saidBy(error, /busy/i)) throw error;
      const holders = await processesIn(target);
      const nested = (await MountTable.read()).below(target).filter((row) => row.target !== target);
      const who = [
        describeHolders(holders),
        nested.map((row) => `a mount on ${row.target}`).join(', '),
      ].filter((text) => text !== '');
      const named =
        who.length === 0
          ? `something works in it (fuser -vm ${target} may show what)`
          : `in use by ${who.join(', ')}`;
      const [first] = holders;
      throw new ThinError('busy', `${target} cannot be unmounted: ${named}; end that first`, {
        cause: error,
        details: { target, stage: 'unmount', ...(first === undefined ? {} : { pid: first.pid }) },
      });
    }
  }

  async #detach({ loop, image, target }: Held): Promise<void> {
    try {
      await this.#loops.detach(loop, image);
    } catch (error) {
      if (!(error instanceof ThinError) || error.code !== 'busy') throw error;
      const here = (await MountTable.read()).ofLoop(loop).map((row) => `a mount on ${row.target}`);
      const elsewhere = (await namespacesWith(loop)).map(
        ({ pid, command, path }) => `${command} (pid ${pid}), whose own mount namespace has it on ${path}`,
      );
      const who = [...here, ...elsewhere];
      if (who.length === 0) throw error;
      throw new ThinError(
        'busy',
        `${target} is unmounted, but its filesystem is still in use by ${who.join(', ')}; ${loop} stays until that ends`,
        { cause: error, details: { target, loop, stage: 'detach' } },
      );
    }
  }

  async #unmountLazily(target: string, { loop, image }: Held): Promise<void> {
    const mountedThere = async (): Promise<boolean> => {
      const row = (await MountTable.read()).on(target);
      return row !== undefined && new MountTable([row]).ofLoop(loop).length > 0;
    };
    if (await mountedThere()) {
      await this.#filesystems.sync(target).catch(() => undefined);
      await this.#umount([target]).catch(() => undefined);
      if (await mountedThere()) await this.#umount(['--lazy', target]);
    }
    await this.#loops.detach(loop, image).catch((error: unknown) => {
      // The kernel detaches it after its last user.
      if (!(error instanceof ThinError) || error.code !== 'busy') throw error;
    });
  }

  async #isMountedAnywhere(loop: string, type: string): Promise<boolean> {
    // xfs and ext4 have a folder there for as long as a filesystem is mounted, wherever that is.
    if (type === 'xfs' || type === 'ext4')
      return access(path.join('/sys/fs', type, path.basename(loop))).then(
        () => true,
        () => false,
      );
    return (await MountTable.read()).ofLoop(loop).length > 0 || (await namespacesWith(loop)).length > 0;
  }

  async #umount(args: readonly string[]): Promise<void> {
    await this.#exec.run('umount', args, { timeoutMs: this.#limits.unmountMs });
  }
}

/** Whether the mount may change its image. */
function writes({ readOnly, log }: ImageMountRequest): boolean {
  return !readOnly || log === 'replay';
}

function isReadOnly(options: string): boolean {
  return options.split(',').includes('ro');
}

async function resolveTarget(target: string): Promise<string> {
  try {
    return await realpath(target);
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
    throw new ThinError(
      'not-found',
      `${target} cannot be mounted on: there is no such folder; make it first`,
      { cause: error, details: { target } },
    );
  }
}
