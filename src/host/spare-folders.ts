import { chmod, mkdir, readdir, rename } from 'node:fs/promises';
import path from 'node:path';
import { requireOwnFolder } from './own-paths.js';

/** Views at the same time on a full disk; ext4 takes 4 KiB for each. */
const SPARES = 16;
const NAMES = Array.from({ length: SPARES }, (_, number) => String(number));

/**
 * Empty folders that were made while the disk had room. A full disk has none for mkdir(2), and takes a
 * rename(2).
 */
export class SpareFolders {
  readonly #folder: string;
  #missing = SPARES;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** In `folder`, which need not be there. Never rejects. */
  static async in(folder: string): Promise<SpareFolders> {
    const spares = new SpareFolders(folder);
    await spares.refill();
    return spares;
  }

  /** Makes those that are missing. Never rejects: without room, or on a read-only root, it has fewer. */
  async refill(): Promise<void> {
    if (this.#missing === 0) return;
    try {
      await requireOwnFolder(this.#folder);
      await mkdir(this.#folder, { recursive: true, mode: 0o700 });
      const present = new Set(await readdir(this.#folder));
      this.#missing = NAMES.filter((name) => !present.has(name)).length;
      for (const name of NAMES.filter((each) => !present.has(each))) {
        await mkdir(path.join(this.#folder, name), { mode: 0o700 });
        this.#missing--;
      }
    } catch {
      return;
    }
  }

  /** Whether `target`, which is not there, has become one of them, with the mode 0755. Never rejects. */
  async become(target: string): Promise<boolean> {
    for (const name of await readdir(this.#folder).catch(() => []))
      try {
        // Also over an empty folder that another program made meanwhile, which is as good.
        await chmod(path.join(this.#folder, name), 0o755);
        await rename(path.join(this.#folder, name), target);
        this.#missing++;
        return true;
      } catch {
        // Another mount took it, or the target lies on another disk.
        continue;
      }
    return false;
  }

  /** Takes an empty folder for one that is missing. Never rejects; false: `target` is there still. */
  async take(target: string): Promise<boolean> {
    await this.refill();
    if (this.#missing === 0) return false;
    try {
      if ((await readdir(target)).length > 0) return false;
      const present = await readdir(this.#folder);
      const free = NAMES.find((name) => !present.includes(name));
      if (free === undefined) return false;
      await rename(target, path.join(this.#folder, free));
      await chmod(path.join(this.#folder, free), 0o700);
      this.#missing--;
      return true;
    } catch {
      return false;
    }
  }
}
