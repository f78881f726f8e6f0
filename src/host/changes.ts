import type { BigIntStats } from 'node:fs';
import type { Exec } from './exec.js';
import { FileTree, mergedByName, statsDiffer, type Bytes } from './file-tree.js';

/** As `docker diff` has them: added, changed, deleted. */
export type ChangeKind = 'A' | 'C' | 'D';

export interface Change {
  readonly kind: ChangeKind;
  /**
   * From the root, with a leading slash; a name that is no UTF-8 has U+FFFD in place of what cannot be shown.
   */
  readonly path: string;
  readonly rawPath: Uint8Array;
}

/** The two sides of a path that both trees have. */
interface Pair {
  readonly path: Bytes;
  readonly before: BigIntStats;
  readonly after: BigIntStats;
}

/**
 * What differs between two mounted trees, as Docker's graph drivers told it (moby pkg/archive, ChangesDirs):
 * a path that only `after` has is added, and so is all below it; one that only `before` has is deleted, and
 * stands for all below it; one that both have is changed if its mode, owner, device number or extended
 * attributes differ, or, unless it is a folder, its size or modification time; and a folder is also changed
 * if something in it is. Contents are not read. Nothing is reported of the root itself, or of other
 * filesystems mounted inside. In tree order: a folder before what is in it, names as bytes.
 *
 * Reads both trees with blocking calls, one folder of each at a time: never in the process that serves them.
 * Errors: not-found, missing-tool (getfattr), tool-failed, io.
 */
export async function* changes(exec: Exec, before: string, after: string): AsyncGenerator<Change> {
  yield* new Comparison(exec, before, after).run();
}

class Comparison {
  readonly #before: FileTree;
  readonly #after: FileTree;
  /** Folders on the way to where the comparison is, that are not known to be changed yet. */
  readonly #unsaid: Bytes[] = [];

  constructor(exec: Exec, before: string, after: string) {
    this.#before = new FileTree(exec, before);
    this.#after = new FileTree(exec, after);
  }

  async *run(): AsyncGenerator<Change> {
    yield* this.#compareFolders('');
  }

  async *#compareFolders(folder: Bytes): AsyncGenerator<Change> {
    for (const [old, now] of mergedByName(this.#before.list(folder), this.#after.list(folder))) {
      const path = `${folder}/${(now ?? old)?.name ?? ''}`;
      if (now === undefined) yield* this.#tell('D', path);
      else if (old === undefined) yield* this.#added(path, now.stats);
      else yield* this.#both({ path, before: old.stats, after: now.stats });
    }
  }

  async *#both(pair: Pair): AsyncGenerator<Change> {
    const { path, before, after } = pair;
    const changed = await this.#differs(pair);
    if (changed) yield* this.#tell('C', path);
    if (!after.isDirectory()) return;
    if (!before.isDirectory()) {
      yield* this.#addedBelow(path, after);
      return;
    }
    if (!this.#before.holds(before) || !this.#after.holds(after)) return;
    if (!changed) this.#unsaid.push(path);
    yield* this.#compareFolders(path);
    if (this.#unsaid.at(-1) === path) this.#unsaid.pop();
  }

  async *#added(path: Bytes, stats: BigIntStats): AsyncGenerator<Change> {
    yield* this.#tell('A', path);
    yield* this.#addedBelow(path, stats);
  }

  async *#addedBelow(path: Bytes, stats: BigIntStats): AsyncGenerator<Change> {
    if (!stats.isDirectory() || !this.#after.holds(stats)) return;
    for (const entry of this.#after.list(path)) yield* this.#added(`${path}/${entry.name}`, entry.stats);
  }

  *#tell(kind: ChangeKind, path: Bytes): Generator<Change> {
    for (const folder of this.#unsaid.splice(0)) yield asChange('C', folder);
    yield asChange(kind, path);
  }

  async #differs(pair: Pair): Promise<boolean> {
    const { path, before, after } = pair;
    if (statsDiffer(before, after)) return true;
    // A snapshot keeps inodes: an inode that did not change since has the same change time.
    if (before.ino === after.ino && before.ctimeNs === after.ctimeNs) return false;
    if (after.isSymbolicLink() && this.#before.link(path) !== this.#after.link(path)) return true;
    return (await this.#before.attributes(path)) !== (await this.#after.attributes(path));
  }
}

function asChange(kind: ChangeKind, path: Bytes): Change {
  const rawPath = Buffer.from(path, 'latin1');
  return { kind, path: rawPath.toString('utf8'), rawPath };
}
