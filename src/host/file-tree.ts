import { lstatSync, readdirSync, readlinkSync, type BigIntStats } from 'node:fs';
import { ThinError } from '../errors/thin-error.js';
import { readAttributes, type AttributeTable } from './attributes.js';
import type { Exec } from './exec.js';

/**
 * Names and paths are byte strings here, one character a byte, so that none is lost and they sort as bytes.
 * A path begins with a slash; the root's is empty.
 */
export type Bytes = string;

export interface Entry {
  readonly name: Bytes;
  readonly stats: BigIntStats;
}

/**
 * The files of a mounted root, read with blocking calls: never in the process that serves them. Errors:
 * not-found, io, and those of reading attributes.
 */
export class FileTree {
  readonly #exec: Exec;
  readonly #root: string;
  readonly #device: bigint;
  #attributes: Promise<AttributeTable> | undefined;

  constructor(exec: Exec, root: string) {
    this.#exec = exec;
    this.#root = root;
    this.#device = this.#guard('', () => lstatSync(root, { bigint: true })).dev;
  }

  /** Ascending by name. */
  list(folder: Bytes): readonly Entry[] {
    const names = this.#guard(folder, () => readdirSync(this.at(folder), { encoding: 'buffer' }));
    const entries: Entry[] = [];
    for (const name of names.map((each) => each.toString('latin1')).sort(byBytes)) {
      const at = this.at(`${folder}/${name}`);
      const stats = this.#guard(folder, () => lstatSync(at, { bigint: true, throwIfNoEntry: false }));
      // A live tree changes while it is read: what is gone by now is not there.
      if (stats !== undefined) entries.push({ name, stats });
    }
    return entries;
  }

  /** Of what the path names itself, and not of what a link leads to. */
  stats(path: Bytes): BigIntStats {
    return this.#guard(path, () => lstatSync(this.at(path), { bigint: true }));
  }

  link(path: Bytes): Bytes {
    return this.#guard(path, () => readlinkSync(this.at(path), { encoding: 'buffer' })).toString('latin1');
  }

  /** Whether an inode is of this tree's own filesystem. */
  holds(stats: BigIntStats): boolean {
    return stats.dev === this.#device;
  }

  /**
   * All extended attributes of a path in one string, empty for none. The whole tree is read when the first is
   * asked for.
   */
  async attributes(path: Bytes): Promise<string> {
    this.#attributes ??= readAttributes(this.#exec, this.#root);
    return (await this.#attributes).get(path) ?? '';
  }

  /** For calls of node:fs. */
  at(path: Bytes): Buffer {
    return Buffer.concat([Buffer.from(this.#root), Buffer.from(path, 'latin1')]);
  }

  #guard<T>(path: Bytes, work: () => T): T {
    try {
      return work();
    } catch (error) {
      const shown = `${this.#root}${Buffer.from(path, 'latin1').toString('utf8')}`;
      const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
      throw new ThinError(
        missing ? 'not-found' : 'io',
        `${shown} cannot be read: ${String(error)}; see that the device is still mounted`,
        {
          cause: error,
          details: { path: shown },
        },
      );
    }
  }
}

/** What lstat(2) tells apart of two inodes; of folders, what is in them tells that. */
export function statsDiffer(before: BigIntStats, after: BigIntStats): boolean {
  if (
    before.mode !== after.mode ||
    before.uid !== after.uid ||
    before.gid !== after.gid ||
    before.rdev !== after.rdev
  )
    return true;
  return !after.isDirectory() && (before.size !== after.size || before.mtimeNs !== after.mtimeNs);
}

/** Pairs the entries of two sorted lists by name. */
export function* mergedByName(
  before: readonly Entry[],
  after: readonly Entry[],
): Generator<readonly [Entry | undefined, Entry | undefined]> {
  let i = 0;
  let j = 0;
  for (;;) {
    const old = before[i];
    const now = after[j];
    if (old === undefined && now === undefined) return;
    const order = old === undefined ? 1 : now === undefined ? -1 : byBytes(old.name, now.name);
    if (order <= 0) i++;
    if (order >= 0) j++;
    yield [order <= 0 ? old : undefined, order >= 0 ? now : undefined];
  }
}

function byBytes(a: Bytes, b: Bytes): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
