import { ThinError } from '../errors/thin-error.js';
import { saidBy, type Exec } from './exec.js';
import type { LoopDevice, LoopDevices } from './loop-devices.js';
import type { MountRow } from '../format/mount-info.js';
import { MountTable, isBelow } from './mount-table.js';

export type StaleStep =
  /** Ends requests to a FUSE server that is gone or hangs, so that nothing below waits for it. */
  | { readonly kind: 'abort'; readonly target: string }
  | { readonly kind: 'unmount'; readonly target: string; readonly source: string }
  | { readonly kind: 'detach'; readonly loop: string; readonly backingFile: string };

export interface StaleQuery {
  /** The folder that image files appear in, `<root>/dev`, as the mount table shows it. */
  readonly devices: string;
  /** The overlay that tells the same space as `devices`, and holds that FUSE mount. */
  readonly space?: string | undefined;
  /**
   * What image files' names begin with (`docker-MAJ:MIN-INO-`). Where the folder's mount was lazily
   * unmounted, the kernel shows a backing file as `/NAME` only, and the name, which holds the root's inode,
   * is what tells whose it was.
   */
  readonly imagePrefix?: string | undefined;
  /** Only filesystems and loop devices; the FUSE mount itself stays (a living daemon asks). */
  readonly keepDevices?: boolean;
  /** Only these loop devices. Default: all on image files. */
  readonly only?: ReadonlySet<string>;
}

export interface StaleReport {
  /** In words, one a step. */
  readonly done: readonly string[];
  /** What could not be cleared, with the reason. */
  readonly left: readonly string[];
}

const TOOL_MS = 30_000;
const NOT_MOUNTED = /not mounted|no mount point/i;

/**
 * The steps that clear what an earlier daemon left: what is mounted from loop devices on image files
 * (wherever it is mounted, and what is mounted inside), newest first, then those loop devices, then the
 * overlay of the FUSE mount, then the FUSE mount. Pure.
 */
export function planStale(
  table: MountTable,
  loops: readonly LoopDevice[],
  query: StaleQuery,
): readonly StaleStep[] {
  const ours = loops.filter(
    (loop) => isImage(loop.backingFile, query) && (query.only?.has(loop.device) ?? true),
  );
  const fuse =
    query.keepDevices === true
      ? []
      : table.rows.filter((row) => row.target === query.devices && row.type.startsWith('fuse'));
  const space =
    query.keepDevices === true
      ? []
      : table.rows.filter((row) => row.target === query.space && row.type === 'overlay');
  const direct = new Set(ours.flatMap((loop) => table.ofLoop(loop.device)));
  const filesystems = table.rows.filter((row) => direct.has(row) || isInside(row, direct, table));
  return [
    ...fuse.map((row) => ({ kind: 'abort', target: row.target }) as const),
    ...filesystems.reverse().map(unmountStep),
    ...ours.map((loop) => ({ kind: 'detach', loop: loop.device, backingFile: loop.backingFile }) as const),
    ...[...space, ...fuse.reverse()].map(unmountStep),
  ];
}

/**
 * Clears what an earlier daemon left. The caller holds the pool's lock, so no daemon lives that the mounts
 * could belong to.
 */
export class StaleCleaner {
  readonly #exec: Exec;
  readonly #loops: LoopDevices;

  constructor(exec: Exec, loops: LoopDevices) {
    this.#exec = exec;
    this.#loops = loops;
  }

  /** Goes on after a step that fails. Never rejects for what it cannot clear. */
  async clear(query: StaleQuery): Promise<StaleReport> {
    const steps = planStale(await MountTable.read(), await this.#loops.list(), query);
    const done: string[] = [];
    const left: string[] = [];
    for (const step of steps)
      try {
        const words = await this.#carryOut(step);
        if (words !== undefined) done.push(words);
      } catch (error) {
        left.push(error instanceof Error ? error.message : String(error));
      }
    return { done, left };
  }

  async #carryOut(step: StaleStep): Promise<string | undefined> {
    switch (step.kind) {
      case 'abort':
        // Loop devices keep it busy, so it stays; but force ends the connection before it finds that out.
        await this.#umount(step.target, '--force').catch(() => undefined);
        return undefined;
      case 'unmount':
        return this.#unmount(step.target, step.source);
      case 'detach':
        return this.#detach(step.loop, step.backingFile);
    }
  }

  /**
   * One in use is detached after its last user, and until then nothing can be read from it: it does no harm.
   */
  async #detach(loop: string, backingFile: string): Promise<string> {
    try {
      await this.#loops.detach(loop, backingFile);
      return `detached ${loop} from ${backingFile}`;
    } catch (error) {
      if (!(error instanceof ThinError) || error.code !== 'busy') throw error;
      return `detached ${loop} from ${backingFile} lazily: the kernel removes it after its last user`;
    }
  }

  async #unmount(target: string, source: string): Promise<string | undefined> {
    // A filesystem that was frozen when its daemon died cannot be unmounted for good while it is frozen.
    await this.#exec.run('fsfreeze', ['--unfreeze', target], { timeoutMs: TOOL_MS }).catch(() => undefined);
    try {
      await this.#umount(target);
      return `unmounted ${source} from ${target}`;
    } catch (error) {
      if (saidBy(error, NOT_MOUNTED)) return undefined;
      if (error instanceof ThinError && error.code === 'missing-tool') throw error;
    }
    try {
      await this.#umount(target, '--lazy');
    } catch (error) {
      if (!saidBy(error, NOT_MOUNTED)) throw error;
    }
    return `unmounted ${source} from ${target} lazily, because it was in use`;
  }

  async #umount(target: string, ...flags: string[]): Promise<void> {
    await this.#exec.run('umount', ['--no-canonicalize', '--internal-only', ...flags, target], {
      timeoutMs: TOOL_MS,
    });
  }
}

function unmountStep(row: MountRow): StaleStep {
  return { kind: 'unmount', target: row.target, source: row.source };
}

/** Whether a loop device's backing file is, or was, an image file of this pool. */
export function isImage(backingFile: string, { devices, imagePrefix }: StaleQuery): boolean {
  if (isBelow(backingFile, devices)) return true;
  return (
    imagePrefix !== undefined &&
    imagePrefix !== '' &&
    backingFile.startsWith(`/${imagePrefix}`) &&
    backingFile.lastIndexOf('/') === 0
  );
}

/** Mounted on top of or inside one of `outer`, to any depth: it would keep that one busy. */
function isInside(row: MountRow, outer: ReadonlySet<MountRow>, table: MountTable): boolean {
  // By parents and not by order: mount ids are used again.
  const parent = table.rows.find((other) => other.id === row.parentId && other !== row);
  return parent !== undefined && (outer.has(parent) || isInside(parent, outer, table));
}
