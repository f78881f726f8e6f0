import assert from 'node:assert/strict';
import { closeSync, openSync, readSync, type BigIntStats } from 'node:fs';
import { mergedByName, statsDiffer, type Bytes, type FileTree } from '../../host/file-tree.js';

/** Only a hard link is told as `same`, which the layer may need as another name of what changed. */
export type TreeChange =
  | { readonly kind: 'deleted'; readonly path: Bytes }
  | { readonly kind: 'added' | 'changed' | 'same'; readonly path: Bytes; readonly stats: BigIntStats };

/** What stat(2) does not decide. */
export interface Undecided {
  readonly kind: 'undecided';
  readonly path: Bytes;
  readonly before: BigIntStats;
  readonly stats: BigIntStats;
}

const NANOSECONDS = 1_000_000_000n;
const PIECE = 256 * 1024;

/**
 * What differs between a tree and one that was made from it by snapshots of its device, as containerd's
 * walking differ tells it (continuity, fs/diff.go `doubleWalkDiff`), in its order. Of a folder that was
 * deleted, nothing below is told.
 *
 * That one compares each file with the one of before. Here, a file is looked up in the earlier tree only
 * where its folder or its inode may have changed, and its contents are read only where they may have: a
 * snapshot keeps inode numbers, and the kernel gives an inode that it changes another change time. So an
 * inode that lies in none of the changed blocks, and one with the number and the change time of before, is
 * that of before.
 */
export class TreeChanges {
  readonly #before: FileTree | undefined;
  readonly #after: FileTree;
  readonly #mayDiffer: (inode: bigint) => boolean;

  /**
   * @param before undefined: an empty tree
   * @param mayDiffer whether the inode lies in blocks that differ; always true where that is not known
   */
  constructor(before: FileTree | undefined, after: FileTree, mayDiffer: (inode: bigint) => boolean) {
    this.#before = before;
    this.#after = after;
    this.#mayDiffer = mayDiffer;
  }

  *all(): Generator<TreeChange | Undecided> {
    if (this.#before === undefined) yield* this.#addedBelow('');
    else yield* this.#pair('', this.#before.stats(''), this.#after.stats(''), true);
  }

  /** Of an undecided one whose capabilities are the same. */
  contentsDiffer({ path, before, stats }: Undecided): boolean {
    if (stats.isDirectory() || !isWhole(before.mtimeNs) || !isWhole(stats.mtimeNs)) return false;
    if (stats.isSymbolicLink()) return this.#earlier.link(path) !== this.#after.link(path);
    return stats.isFile() && stats.size > 0n && differ(this.#earlier.at(path), this.#after.at(path));
  }

  get #earlier(): FileTree {
    assert(this.#before !== undefined, 'an empty tree has nothing to be compared');
    return this.#before;
  }

  *#pair(
    path: Bytes,
    before: BigIntStats,
    after: BigIntStats,
    isRoot = false,
  ): Generator<TreeChange | Undecided> {
    if (before.ino === after.ino && before.ctimeNs === after.ctimeNs) {
      yield* this.#unchanged(path, after);
      return;
    }
    // A layer says nothing of the root itself.
    if (!isRoot) {
      if (statsDiffer(before, after)) yield { kind: 'changed', path, stats: after };
      else yield { kind: 'undecided', path, before, stats: after };
    }
    if (!after.isDirectory()) return;
    if (before.isDirectory()) yield* this.#folders(path);
    else yield* this.#addedBelow(path);
  }

  *#folders(path: Bytes): Generator<TreeChange | Undecided> {
    for (const [old, now] of mergedByName(this.#earlier.list(path), this.#after.list(path))) {
      const below = `${path}/${(now ?? old)?.name ?? ''}`;
      if (now === undefined) yield { kind: 'deleted', path: below };
      else if (old === undefined) yield* this.#added(below, now.stats);
      else yield* this.#pair(below, old.stats, now.stats);
    }
  }

  *#unchanged(path: Bytes, stats: BigIntStats): Generator<TreeChange | Undecided> {
    if (!stats.isDirectory()) {
      if (stats.nlink > 1n) yield { kind: 'same', path, stats };
      return;
    }
    // The folder names the same inodes in both trees.
    for (const { name, stats: now } of this.#after.list(path)) {
      const below = `${path}/${name}`;
      if (this.#mayDiffer(now.ino)) yield* this.#pair(below, this.#earlier.stats(below), now);
      else yield* this.#unchanged(below, now);
    }
  }

  *#added(path: Bytes, stats: BigIntStats): Generator<TreeChange> {
    yield { kind: 'added', path, stats };
    if (stats.isDirectory()) yield* this.#addedBelow(path);
  }

  *#addedBelow(path: Bytes): Generator<TreeChange> {
    for (const { name, stats } of this.#after.list(path)) yield* this.#added(`${path}/${name}`, stats);
  }
}

/** A time of a tar's, which may have had nanoseconds before. */
function isWhole(time: bigint): boolean {
  return time % NANOSECONDS === 0n;
}

function differ(before: Buffer, after: Buffer): boolean {
  const [left, right] = [openSync(before, 'r'), openSync(after, 'r')];
  try {
    const [a, b] = [Buffer.alloc(PIECE), Buffer.alloc(PIECE)];
    for (;;) {
      const [ofA, ofB] = [readSync(left, a), readSync(right, b)];
      if (ofA !== ofB || a.compare(b, 0, ofB, 0, ofA) !== 0) return true;
      if (ofA === 0) return false;
    }
  } finally {
    closeSync(left);
    closeSync(right);
  }
}
