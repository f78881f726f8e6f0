import { mkdtemp, readdir, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { MountTable } from './mount-table.js';

/**
 * Mount points in the folder for temporary files, for views of a pool whose own folder takes none. Their
 * names say whose they are, so that what a killed daemon left is told from another pool's.
 */
export class ViewTargets {
  readonly #folder: string;
  readonly #prefix: string;

  /** @param pool what no other pool of this machine is called */
  constructor(pool: string, folder = tmpdir()) {
    this.#folder = folder;
    this.#prefix = `thinfuse-view-${pool.replaceAll(/[^\w-]/g, '-')}-`;
  }

  /** Errors: the file system's. */
  make(): Promise<string> {
    return mkdtemp(path.join(this.#folder, this.#prefix));
  }

  has(target: string): boolean {
    return path.dirname(target) === this.#folder && path.basename(target).startsWith(this.#prefix);
  }

  /** Those that are empty, and nothing is mounted on. Never rejects. */
  async unused(): Promise<readonly string[]> {
    const names = await readdir(this.#folder).catch(() => []);
    const targets = names.map((name) => path.join(this.#folder, name)).filter((target) => this.has(target));
    if (targets.length === 0) return [];
    const table = await MountTable.read();
    const unused: string[] = [];
    for (const target of targets) {
      // It may be mounted on in a way that does not answer.
      if (table.on(target) !== undefined) continue;
      if ((await readdir(target).catch(() => undefined))?.length === 0) unused.push(target);
    }
    return unused;
  }

  /** Removes those, which no daemon may be about to mount on. Returns what it did. Never rejects. */
  async clear(): Promise<readonly string[]> {
    const done: string[] = [];
    for (const target of await this.unused())
      await rmdir(target).then(
        () => done.push(`removed ${target}`),
        () => undefined,
      );
    return done;
  }
}
