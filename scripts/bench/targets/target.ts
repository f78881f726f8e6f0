import type { CommandLine } from '../commands.js';
import type { LifecycleStep } from '../lifecycle.js';
import type { Scale } from '../run.js';

/** One way to have a block device with snapshots. */
export interface Target {
  readonly name: string;
  /** How it is made, for those who read the table. */
  readonly description: string;
  /** Commands that it cannot do without. */
  readonly needs: readonly string[];
  /** It is measured for this alone, and made for nothing else. */
  readonly only?: Pick<LifecycleStep, 'jobs' | 'round'>;
  /** Makes it from nothing. What has to be undone, also where this fails, is deferred. */
  open(site: Site, undo: Undo): Promise<OpenTarget>;
}

export interface Site {
  /** Empty, for this target alone, and removed afterwards. */
  readonly folder: string;
  /** Bytes that fio fills and works on. */
  readonly size: number;
  /** Bytes of the device: what is filled later for the `…-large` jobs has room, too. */
  readonly virtualSize: number;
}

export interface OpenTarget {
  /** The loop device that fio works on. */
  device(): string;
  /** Hands out a loop device on a fresh snapshot of the filled device, and takes it back. */
  readonly onSnapshot?: (use: (device: string) => Promise<void>) => Promise<void>;
  readonly snapshots?: Snapshots;
  /** This target is no device, and has this figure alone: MB/s of `scale.large` bytes. */
  readonly batches?: (scale: Scale) => Promise<number>;
  readonly containers?: Containers;
  readonly commands?: CommandLine;
  /** Process ids of what serves the devices; undefined where it is the kernel. */
  readonly daemons?: () => readonly number[];
}

/** Snapshots of the idle device, not activated. */
export interface Snapshots {
  take(name: string): Promise<void>;
  readonly takeByCli?: (name: string) => Promise<void>;
  drop(name: string): Promise<void>;
  /** The device is detached, and every snapshot is gone: nothing but `removeDevice` follows. */
  retireDevice(): Promise<void>;
  removeDevice(): Promise<void>;
}

/** Writable copies of an image with an empty xfs. */
export interface Containers {
  /** The image is made; not measured. */
  prepare(): Promise<void>;
  create(name: string): Promise<void>;
  mount(name: string): Promise<void>;
  umount(name: string): Promise<void>;
  remove(name: string): Promise<void>;
  /** Creating one does nothing here, or is no snapshot, and is not measured. */
  readonly mountOnly?: boolean;
}

/** Undoes in reverse order, each step whatever became of the others. */
export class Undo {
  readonly #steps: (() => Promise<void>)[] = [];

  defer(step: () => Promise<void>): void {
    this.#steps.push(step);
  }

  /** Resolves to what failed. */
  async run(): Promise<readonly string[]> {
    const failures: string[] = [];
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop())
      await step().catch((error: unknown) => failures.push(String(error)));
    return failures;
  }
}

export const IMAGE_SIZE = 10 * 2 ** 30;
