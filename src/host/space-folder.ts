import { chmod, mkdir, rmdir } from 'node:fs/promises';
import { toThinError } from '../errors/thin-error.js';
import type { Exec } from './exec.js';
import { MountTable } from './mount-table.js';
import { requireOwnFolder } from './own-paths.js';

const TOOL_MS = 30_000;

/**
 * A folder whose statfs(2) is that of another one, for programs that leave FUSE out of the filesystems that
 * they look at. The kubelet's cAdvisor knows ext, xfs, btrfs, zfs, nfs, tmpfs and overlay, and a read-only
 * overlay answers as its topmost layer does.
 */
export class SpaceFolder {
  readonly #exec: Exec;
  readonly #of: string;
  readonly #target: string;
  readonly #onWarning: (text: string) => void;

  constructor(
    exec: Exec,
    parts: { readonly of: string; readonly target: string; readonly onWarning: (text: string) => void },
  ) {
    this.#exec = exec;
    this.#of = parts.of;
    this.#target = parts.target;
    this.#onWarning = parts.onWarning;
  }

  /** Keeps what is mounted there. Never rejects: a kernel without overlay lacks this and nothing else. */
  async mount(): Promise<void> {
    try {
      await requireOwnFolder(this.#target);
      await mkdir(this.#target, { recursive: true, mode: 0o700 });
      if ((await MountTable.read()).on(this.#target) !== undefined) return;
      await chmod(this.#target, 0o700);
      // The second layer, because a read-only overlay has two: the empty folder itself.
      const layers = `ro,nosuid,nodev,noexec,lowerdir=${quoted(this.#of)}:${quoted(this.#target)}`;
      await this.#exec.run(
        'mount',
        ['--types', 'overlay', '--options', layers, 'thinfuse-space', this.#target],
        { timeoutMs: TOOL_MS },
      );
    } catch (error) {
      this.#onWarning(
        `${this.#target} does not tell the pool's space, so a kubelet cannot see it: ${toThinError(error).message}`,
      );
    }
  }

  /** Never rejects. */
  async unmount(): Promise<void> {
    if ((await MountTable.read().catch(() => undefined))?.on(this.#target) === undefined) return;
    const args = ['--no-canonicalize', '--internal-only', '--lazy', this.#target];
    await this.#exec.run('umount', args, { timeoutMs: TOOL_MS }).catch((error: unknown) => {
      this.#onWarning(`${this.#target} stays mounted: ${toThinError(error).message}`);
    });
    await rmdir(this.#target).catch(() => undefined);
  }
}

/** As overlayfs takes a path among its options. */
function quoted(folder: string): string {
  return folder.replace(/[\\:,]/g, '\\$&');
}
