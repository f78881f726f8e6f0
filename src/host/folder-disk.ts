import { statfsSync } from 'node:fs';
import { open, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Exec } from './exec.js';

/** Bytes of a reserve, on a disk that has room for it. */
const RESERVE = 64 * 2 ** 20;
const RESERVE_PARTS = 64;
/** A disk with less free than this many reserves has none to spare. */
const RESERVES_FREE = 4;
const NAME = 'reserve';
const TOOL_MS = 30_000;

/** Bytes that the disk of a file or folder still has. */
export function freeAt(place: string): number {
  const { bavail, bsize } = statfsSync(place);
  return bavail * bsize;
}

/** The disk that a folder is on, and a file in the folder that keeps a part of it from everybody else. */
export class FolderDisk {
  readonly total: number;
  readonly #folder: string;
  readonly #file: string;
  readonly #exec: Exec;
  readonly #reserve: number;

  /** @throws a Node system error: there is no such folder */
  constructor(folder: string, exec: Exec) {
    const { blocks, bsize } = statfsSync(folder);
    this.total = blocks * bsize;
    this.#folder = folder;
    this.#file = path.join(folder, NAME);
    this.#exec = exec;
    this.#reserve = Math.min(RESERVE, Math.floor(this.total / RESERVE_PARTS));
  }

  free(): number {
    return freeAt(this.#folder);
  }

  /** Where there is room for it, and the filesystem can allocate without writing. */
  async holdReserve(): Promise<void> {
    const has = await stat(this.#file).then(
      ({ size }) => size,
      () => 0,
    );
    if (has >= this.#reserve || this.free() < RESERVES_FREE * this.#reserve) return;
    // Before the tool would, which leaves it to the umask who may read it.
    await (await open(this.#file, 'a', 0o600)).close();
    const args = ['--length', String(this.#reserve), this.#file];
    await this.#exec.run('fallocate', args, { timeoutMs: TOOL_MS }).catch(() => this.releaseReserve());
  }

  async releaseReserve(): Promise<void> {
    await rm(this.#file, { force: true });
  }
}
