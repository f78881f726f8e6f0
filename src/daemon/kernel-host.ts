import { chmod, mkdir, rmdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { systemErrorCode, ThinError } from '../errors/thin-error.js';
import type { LoopDevices } from '../host/loop-devices.js';
import { MountTable } from '../host/mount-table.js';
import type { MountTask } from '../host/mount-task.js';
import type { Held, Mounter } from '../host/mounter.js';
import type { SpareFolders } from '../host/spare-folders.js';
import type { ViewTargets } from '../host/view-targets.js';
import type { StaleCleaner, StaleQuery } from '../host/stale.js';
import type { FilesystemType } from '../pool/info.js';
import type {
  DeviceHost,
  FreshMount,
  LeftUndone,
  Mounted,
  MountRequest,
  RootPermissions,
} from '../service/device-host.js';
import type { StandingHandover } from './standing-handover.js';

export interface KernelHostParts {
  readonly mounter: Mounter;
  readonly loops: LoopDevices;
  readonly stale: StaleCleaner;
  readonly query: StaleQuery;
  readonly spares: SpareFolders;
  readonly viewTargets: ViewTargets;
  readonly onWarning: (text: string) => void;
  /** Carries the task out in another process. */
  readonly inMount: (task: MountTask) => Promise<string>;
  /** Records for the next daemon what is being done with an image. */
  readonly standing?: Pick<StandingHandover, 'whileFrozen' | 'whileAttaching'> | undefined;
}

/** The host that the daemon runs on, through its tools. */
export class KernelHost implements DeviceHost {
  readonly #mounter: Mounter;
  readonly #loops: LoopDevices;
  readonly #stale: StaleCleaner;
  readonly #query: StaleQuery;
  readonly #spares: SpareFolders;
  readonly #viewTargets: ViewTargets;
  readonly #onWarning: (text: string) => void;
  readonly #standing: KernelHostParts['standing'];
  readonly #inMount: (task: MountTask) => Promise<string>;

  constructor(parts: KernelHostParts) {
    this.#mounter = parts.mounter;
    this.#loops = parts.loops;
    this.#stale = parts.stale;
    this.#query = parts.query;
    this.#spares = parts.spares;
    this.#viewTargets = parts.viewTargets;
    this.#onWarning = parts.onWarning;
    this.#standing = parts.standing;
    this.#inMount = parts.inMount;
  }

  async mount(request: MountRequest): Promise<FreshMount> {
    const { loop, target, filesystem, skippedLog, warnings } = await this.#mounter.mount(request);
    for (const warning of warnings) this.#onWarning(warning);
    return { loop, target, filesystem, skippedLog };
  }

  async unmount(mounted: Held, options: { readonly lazily: boolean }): Promise<void> {
    await this.#mounter.unmount(mounted, options);
  }

  async withdraw(mounted: Mounted, request: MountRequest): Promise<boolean> {
    return this.#mounter.withdraw(mounted, request);
  }

  async restore(mounted: Mounted, request: MountRequest): Promise<boolean> {
    return this.#mounter.restore(mounted, request);
  }

  async unmounted<T extends Mounted>(mounts: readonly T[]): Promise<readonly T[]> {
    if (mounts.length === 0) return [];
    const table = await MountTable.read();
    return mounts.filter(({ loop }) => table.ofLoop(loop).length === 0);
  }

  async attach(image: string, options: { readonly readOnly: boolean }): Promise<{ readonly loop: string }> {
    const { device, directIo } = await this.#whileAttaching(image, () => this.#loops.attach(image, options));
    if (!directIo) this.#onWarning(`${device} works without direct I/O, so ${image} is cached twice`);
    return { loop: device };
  }

  async loopOf(image: string): Promise<string | undefined> {
    return (await this.#loops.findByBackingFile(image))[0]?.device;
  }

  async detach(loop: string, image: string): Promise<void> {
    await this.#loops.detach(loop, image);
  }

  async loopState(loop: string, image: string): Promise<'attached' | 'leaving' | 'gone'> {
    const found = await this.#loops.get(loop);
    if (found?.backingFile !== image) return 'gone';
    return found.autoclear ? 'leaving' : 'attached';
  }

  async growAttached(loop: string, filesystem: FilesystemType, size: number): Promise<void> {
    await this.#loops.setCapacity(loop, size);
    const [mounted] = (await MountTable.read()).ofLoop(loop);
    if (mounted === undefined) return;
    await this.#mounter
      .growInPlace({ loop, target: mounted.target }, filesystem, size)
      .catch((error: unknown) =>
        this.#onWarning(
          `${loop} has grown, and its filesystem on ${mounted.target} has not: ${String(error)}`,
        ),
      );
  }

  async grow(mounted: Mounted, filesystem: FilesystemType, size: number): Promise<void> {
    await this.#mounter.grow(mounted, filesystem, size);
  }

  async bound(mounted: Mounted, filesystem: FilesystemType, limit: number | undefined): Promise<void> {
    const [blocks = 0, blockSize = 1] = (await this.#inMount({ kind: 'capacity', target: mounted.target }))
      .split(' ')
      .map(Number);
    await this.#mounter.bound(mounted, filesystem, { blocks, blockSize, limit });
  }

  async furnish(target: string, name: string): Promise<void> {
    if ((await this.#inMount({ kind: 'furnish', target, name })) === 'no-folder')
      this.#onWarning(
        `${path.join(target, 'rootfs')} is not a folder, so device ${name} shows no root file system there`,
      );
  }

  async bare(target: string): Promise<void> {
    await this.#inMount({ kind: 'bare', target });
  }

  async setPermissions(target: string, permissions: RootPermissions): Promise<void> {
    await this.#inMount({ kind: 'permissions', target, ...permissions });
  }

  async inodes(target: string): Promise<number> {
    return Number(await this.#inMount({ kind: 'inodes', target }));
  }

  async frozen<T>(image: string, work: () => Promise<T>): Promise<T> {
    const freeze = (): Promise<T> => this.#mounter.frozen(image, work);
    return this.#standing === undefined ? freeze() : this.#standing.whileFrozen(image, freeze);
  }

  async trim(target: string): Promise<number> {
    return this.#mounter.trim(target);
  }

  async format(
    image: string,
    filesystem: FilesystemType,
    options: {
      readonly extraArgs: readonly string[];
      readonly size?: number | undefined;
      readonly template?: boolean | undefined;
    },
  ): Promise<{ readonly uuid: string }> {
    return this.#whileAttaching(image, () => this.#mounter.format(image, filesystem, options));
  }

  #whileAttaching<T>(image: string, work: () => Promise<T>): Promise<T> {
    return this.#standing === undefined ? work() : this.#standing.whileAttaching(image, work);
  }

  async makeTarget(target: string): Promise<boolean> {
    try {
      await mkdir(target, 0o755);
      await chmod(target, 0o755);
      await this.#spares.refill();
      return true;
    } catch (error) {
      const code = systemErrorCode(error);
      if (code === 'EEXIST' && (await stat(target)).isDirectory()) return false;
      if (code === 'EEXIST' || code === 'ENOTDIR')
        throw new ThinError('invalid-argument', `${target} is not a folder; choose one to mount on`, {
          cause: error,
        });
      if (code === 'ENOENT')
        throw new ThinError('not-found', `the folder above ${target} does not exist; make it first`, {
          cause: error,
        });
      if (code === 'ENOSPC' || code === 'EDQUOT') {
        if (await this.#spares.become(target)) return true;
        throw new ThinError(
          'no-space',
          `the disk has no room for the mount point ${target}; make some, or mount on a folder that is there`,
          { cause: error, details: { stage: 'target' } },
        );
      }
      if (code === 'EROFS')
        throw new ThinError(
          'read-only',
          `the disk of the mount point ${target} is mounted read-only; mount on a folder of another disk: thinfuse mount --ro ID FOLDER`,
          { cause: error, details: { stage: 'target' } },
        );
      throw new ThinError('io', `the mount point ${target} cannot be made: ${String(error)}`, {
        cause: error,
      });
    }
  }

  makeViewTarget(): Promise<string> {
    return this.#viewTargets.make();
  }

  isViewTarget(target: string): boolean {
    return this.#viewTargets.has(target);
  }

  async removeTarget(target: string): Promise<void> {
    if (await this.#spares.take(target)) return;
    await rmdir(target).catch((error: unknown) => {
      this.#onWarning(
        `the mount point ${target} was left: ${error instanceof Error ? error.message : String(error)}`,
      );
    });
  }

  async recover({ frozen, unfinished }: LeftUndone): Promise<readonly string[]> {
    const words: string[] = [];
    for (const image of frozen)
      for (const target of await this.#mounter.thaw(image)) words.push(`thawed ${target}`);
    const only = new Set<string>();
    for (const image of unfinished)
      for (const { device } of await this.#loops.findByBackingFile(image)) only.add(device);
    if (only.size === 0) return [...words, ...(await this.#viewTargets.clear())];
    const { done, left } = await this.#stale.clear({ ...this.#query, keepDevices: true, only });
    for (const problem of left) this.#onWarning(problem);
    return [...words, ...done, ...(await this.#viewTargets.clear())];
  }

  async withdrawOthers(): Promise<readonly string[]> {
    const { done, left } = await this.#stale.clear({ ...this.#query, keepDevices: true });
    for (const problem of left) this.#onWarning(problem);
    return done;
  }
}
