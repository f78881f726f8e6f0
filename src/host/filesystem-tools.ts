import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { missingTool } from '../config/missing-tool.js';
import { formatBinarySize } from '../config/sizes.js';
import { ThinError } from '../errors/thin-error.js';
import { saidBy, type Exec } from './exec.js';
import {
  formatCommands,
  growCommand,
  toolsOf,
  type Command,
  type Filesystem,
  type FormatOptions,
} from './filesystems.js';

export interface DetectedFilesystem {
  /** As blkid names it; not only those that thinfuse makes. */
  readonly type: string;
  readonly uuid: string | undefined;
}

/** What blkid finds on a device; `type` is blkid's name. `other`: LVM, LUKS, RAID, swap. */
export type DeviceContent =
  | { readonly kind: 'filesystem'; readonly type: string }
  | { readonly kind: 'partitions'; readonly type: string }
  | { readonly kind: 'other'; readonly type: string }
  | { readonly kind: 'nothing' };

export interface FilesystemLimits {
  /**
   * Milliseconds that mkfs, fstrim and what grows a filesystem may do nothing. What they do may take hours
   * with a large device.
   */
  readonly stallMs: number;
  /** Allocation groups that an xfs grows by in a step. */
  readonly groupsPerStep: number;
  /** Milliseconds until a freeze is given up: it waits for everything that is dirty to be written. */
  readonly freezeMs: number;
  readonly thawMs: number;
}

/** Of a mounted filesystem. */
export interface Bound {
  /** What it has for files, used ones included. */
  readonly blocks: number;
  /** Bytes of one. */
  readonly blockSize: number;
  /** Bytes that may be in use; undefined: all. */
  readonly limit: number | undefined;
}

export const FILESYSTEM_LIMITS: FilesystemLimits = {
  stallMs: 600_000,
  groupsPerStep: 1024,
  freezeMs: 60_000,
  thawMs: 30_000,
};

/** Makes, finds, grows and freezes filesystems with the host's tools. */
export class FilesystemTools {
  readonly #exec: Exec;
  readonly #limits: FilesystemLimits;
  readonly #onProgress: (text: string) => void;

  /** @param onProgress called for the steps of work that may take long */
  constructor(
    exec: Exec,
    limits: FilesystemLimits = FILESYSTEM_LIMITS,
    onProgress: (text: string) => void = () => undefined,
  ) {
    this.#exec = exec;
    this.#limits = limits;
    this.#onProgress = onProgress;
  }

  /** Errors: missing-tool, for the first of the filesystem's tools that is not installed. */
  async requireTools(filesystem: Filesystem): Promise<void> {
    for (const tool of toolsOf(filesystem)) {
      const { code } = await this.#exec.run('sh', ['-c', 'command -v -- "$1"', 'sh', tool], {
        okCodes: [0, 1, 127],
      });
      if (code !== 0) throw missingTool(tool);
    }
  }

  /**
   * Makes a filesystem on `device` (a block device or a file), over whatever is there. Returns what blkid
   * then finds. Errors: missing-tool, tool-failed, timeout; damaged (mkfs said yes, but there is none).
   */
  async format(
    filesystem: Filesystem,
    device: string,
    options: FormatOptions = {},
  ): Promise<{ readonly uuid: string }> {
    try {
      for (const command of formatCommands(filesystem, device, options)) await this.#run(command);
    } catch (error) {
      // e2fsprogs before 1.47 writes its tables whole.
      if (options.template !== true || !saidBy(error, /assume_storage_prezeroed|bad option/i)) throw error;
      return this.format(filesystem, device, { ...options, template: false });
    }
    const found = await this.detect(device);
    if (found?.type === filesystem && found.uuid !== undefined) return { uuid: found.uuid };
    throw new ThinError(
      'damaged',
      `${device} has ${found?.type ?? 'no filesystem'} where ${filesystem} was just made; look at dmesg, then format it again`,
      {
        details: { path: device },
      },
    );
  }

  /**
   * Reads the device itself, not blkid's cache. Undefined where no filesystem is known. Errors: missing-tool,
   * tool-failed, timeout.
   */
  async detect(device: string): Promise<DetectedFilesystem | undefined> {
    return parseBlkid(await this.#probe(device));
  }

  /** The content of the device, also if it is no filesystem. Errors: as `detect`. */
  async content(device: string): Promise<DeviceContent> {
    return parseContent(await this.#probe(device));
  }

  /**
   * A mounted filesystem fills its device. xfs keeps the size of its allocation groups, so that one of 10 GiB
   * gets 26,000 more on its way to 64 TiB, each with headers to be written: it goes in steps, and what one
   * has reached stays when the next fails. No step has a time limit while the tool makes progress.
   * @param size bytes of the device; undefined: in one step
   */
  async grow(
    filesystem: Filesystem,
    mounted: { readonly loop: string; readonly target: string },
    size?: number,
  ): Promise<void> {
    if (filesystem === 'xfs' && size !== undefined) await this.#growXfs(mounted.target, size);
    if (filesystem === 'ext4' && size !== undefined)
      this.#onProgress(
        `the ext4 on ${mounted.target} grows to ${formatBinarySize(size)}; resize2fs takes as long as it works`,
      );
    await this.#run(growCommand(filesystem, mounted));
  }

  /**
   * The mounted filesystem keeps everything beyond `limit` for itself, until it is unmounted or told
   * otherwise. Both filesystems have such a reserve, on any kernel: `write` answers ENOSPC to every
   * process, also to privileged ones, and statfs(2) tells what is left. Errors: unsupported (/sys
   * cannot be written), tool-failed.
   */
  async bound(
    filesystem: Filesystem,
    { loop, target }: { readonly loop: string; readonly target: string },
    { blocks, blockSize, limit }: Bound,
  ): Promise<void> {
    const beyond = limit === undefined ? 0 : blocks - Math.floor(limit / blockSize);
    const kept = String(Math.max(beyond, usualReserve(filesystem, blocks)));
    if (filesystem === 'xfs') {
      await this.#exec.run('xfs_io', ['-x', '-c', `resblks ${kept}`, target], {
        timeoutMs: this.#limits.thawMs,
      });
      return;
    }
    const file = `/sys/fs/ext4/${path.basename(loop)}/reserved_clusters`;
    try {
      await writeFile(file, kept);
    } catch (error) {
      throw new ThinError(
        'unsupported',
        `${file} cannot be set to ${kept}, so the filesystem on ${target} would not keep to its limit; mount /sys for writing (in a container: --privileged)`,
        { cause: error, details: { path: file } },
      );
    }
  }

  /** All steps but the last one. */
  async #growXfs(target: string, size: number): Promise<void> {
    const { stdout } = await this.#run({ tool: 'xfs_growfs', args: ['-n', target] });
    const geometry = parseXfsGeometry(stdout);
    if (geometry === undefined) return;
    const step = this.#limits.groupsPerStep * geometry.groupBlocks;
    for (let blocks = geometry.blocks + step; blocks * geometry.blockSize < size; blocks += step) {
      await this.#run({ tool: 'xfs_growfs', args: ['-D', String(blocks), target] });
      this.#onProgress(
        `the xfs on ${target} has grown to ${formatBinarySize(blocks * geometry.blockSize)} of ${formatBinarySize(size)}`,
      );
    }
  }

  /** resize2fs wants a full check first; 1 is its answer for small things put right. */
  async growUnmountedExt4(device: string): Promise<void> {
    await this.#exec.run('e2fsck', ['-f', '-p', device], {
      okCodes: [0, 1],
      stallMs: this.#limits.stallMs,
    });
    await this.#run({ tool: 'resize2fs', args: [device] });
  }

  /** Writes everything in the filesystem at `target` to its device. */
  async sync(target: string): Promise<void> {
    await this.#exec.run('sync', ['--file-system', target], { timeoutMs: this.#limits.freezeMs });
  }

  /**
   * Everything is written and nothing changes until `thaw`. Errors: busy (another program has frozen it),
   * timeout: what was begun is then undone as soon as it ends.
   */
  async freeze(target: string): Promise<void> {
    // Not killed at the limit: a freeze that ends later must be met by a thaw.
    const freezing = this.#exec.run('fsfreeze', ['--freeze', target]);
    const limit = AbortSignal.timeout(this.#limits.freezeMs);
    const late = new Promise<'late'>((resolve) => {
      limit.addEventListener('abort', () => {
        resolve('late');
      });
    });
    try {
      if ((await Promise.race([freezing, late])) !== 'late') return;
    } catch (error) {
      if (!saidBy(error, /resource busy/i)) throw error;
      throw new ThinError(
        'busy',
        `the filesystem on ${target} is frozen already; if nothing else is at work on it, thaw it with: fsfreeze --unfreeze ${target}`,
        {
          cause: error,
          details: { target },
        },
      );
    }
    freezing.then(() => this.thaw(target)).catch(() => undefined);
    throw new ThinError(
      'timeout',
      `the filesystem on ${target} could not be frozen within ${this.#limits.freezeMs / 1000} s: its writes do not end (dmesg says more)`,
      {
        details: { target },
      },
    );
  }

  /** A filesystem that is not frozen is fine. */
  async thaw(target: string): Promise<void> {
    try {
      await this.#exec.run('fsfreeze', ['--unfreeze', target], { timeoutMs: this.#limits.thawMs });
    } catch (error) {
      if (!saidBy(error, /invalid argument/i)) throw error;
    }
  }

  /**
   * Runs `work` while the filesystems on `targets` (one target each) are frozen, and thaws them whatever
   * happens. A failed thaw is thrown unless `work` failed already.
   */
  async frozen<T>(targets: readonly string[], work: () => Promise<T>): Promise<T> {
    const [target, ...rest] = targets;
    if (target === undefined) return work();
    await this.freeze(target);
    let result: T;
    try {
      result = await this.frozen(rest, work);
    } catch (error) {
      await this.thaw(target).catch(() => undefined);
      throw error;
    }
    await this.thaw(target);
    return result;
  }

  /**
   * Discards all free space of the mounted filesystem, that of files removed just now included. Returns the
   * bytes that fstrim reports. Errors: unsupported (the device below takes no discards), busy, timeout.
   */
  async trim(target: string): Promise<number> {
    // xfs frees removed files in the background, and trims nothing that its log still has: a freeze waits for
    // both.
    await this.frozen([target], () => Promise.resolve());
    try {
      const { stdout } = await this.#exec.run('fstrim', ['--verbose', target], {
        stallMs: this.#limits.stallMs,
      });
      return parseFstrim(stdout);
    } catch (error) {
      if (!saidBy(error, /not supported/i)) throw error;
      throw new ThinError(
        'unsupported',
        `the transport below ${target} carries no discards, so the pool cannot free the space; the kernel transport carries them: thinfuse start --transport kernel`,
        { cause: error, details: { target } },
      );
    }
  }

  /** Empty where blkid knows nothing of what is there. */
  async #probe(device: string): Promise<string> {
    const { code, stdout } = await this.#exec.run('blkid', ['--probe', '--output', 'export', device], {
      okCodes: [0, 2],
      timeoutMs: this.#limits.thawMs,
    });
    return code === 0 ? stdout : '';
  }

  #run({ tool, args, env = {} }: Command): ReturnType<Exec['run']> {
    return this.#exec.run(tool, args, { env, stallMs: this.#limits.stallMs });
  }
}

/** Blocks: what the kernel takes by itself for changes that must not fail (xfs_mount.c, ext4/super.c). */
const MOST_USUAL = { xfs: 8192, ext4: 4096 };
const USUAL_SHARE = { xfs: 20, ext4: 50 };

function usualReserve(filesystem: Filesystem, blocks: number): number {
  return Math.min(MOST_USUAL[filesystem], Math.floor(blocks / USUAL_SHARE[filesystem]));
}

/** `TARGET: 19.5 GiB (20937965568 bytes) trimmed`, the target being anything at all. */
export function parseFstrim(text: string): number {
  return Number(/\((\d+) bytes\) trimmed\s*$/.exec(text)?.[1] ?? 0);
}

/**
 * What `xfs_growfs -n` prints, as xfs_info does; undefined: something else. Sizes in blocks, those of blocks
 * in bytes.
 */
function parseXfsGeometry(
  text: string,
): { readonly blockSize: number; readonly blocks: number; readonly groupBlocks: number } | undefined {
  const groups = /\bagsize=(\d+) blks/.exec(text);
  const data = /^data\s+=.*\bbsize=(\d+)\s+blocks=(\d+)/m.exec(text);
  if (groups === null || data === null) return undefined;
  return { blockSize: Number(data[1]), blocks: Number(data[2]), groupBlocks: Number(groups[1]) };
}

/** `blkid --output export`: KEY=value lines. */
export function parseBlkid(text: string): DetectedFilesystem | undefined {
  const values = valuesOf(text);
  const type = values.get('TYPE');
  return type === undefined ? undefined : { type, uuid: values.get('UUID') };
}

/** As `parseBlkid`. */
export function parseContent(text: string): DeviceContent {
  const values = valuesOf(text);
  const type = values.get('TYPE');
  const table = values.get('PTTYPE');
  if (type !== undefined)
    return { kind: values.get('USAGE') === 'filesystem' ? 'filesystem' : 'other', type };
  return table === undefined ? { kind: 'nothing' } : { kind: 'partitions', type: table };
}

function valuesOf(text: string): ReadonlyMap<string, string> {
  return new Map(
    text.split('\n').map((line): [string, string] => {
      const at = line.indexOf('=');
      return [line.slice(0, at), line.slice(at + 1)];
    }),
  );
}
