import { closeSync, constants, openSync, readSync, type BigIntStats } from 'node:fs';
import { ThinError } from '../../errors/thin-error.js';
import type { Bytes, FileTree } from '../../host/file-tree.js';
import { padding, TAR_END, tarHeader, type Member, type MemberType } from './tar-header.js';
import type { TreeChange } from './tree-changes.js';

export interface LayerOptions {
  /** Values of `security.capability` by path. */
  readonly capabilities: ReadonlyMap<Bytes, Uint8Array>;
  /** Unix time in seconds that no time in the layer is behind (SOURCE_DATE_EPOCH). */
  readonly epoch?: number | undefined;
}

const PIECE = 2 ** 20;
const WHITEOUT = '.wh.';
const NANOSECONDS = 1_000_000_000n;

/**
 * An OCI layer of changes (image-spec, layer.md), member by member as containerd's walking differ writes it
 * (pkg/archive/tar.go, `ChangeWriter`): folders above a change come with it; of the extended attributes only
 * capabilities; of several names of one inode the first is the file, and a name that did not change is a link
 * to it; no sockets. What was deleted has the time 0, as with containerd 2.x.
 */
export class LayerWriter {
  readonly #tree: FileTree;
  readonly #options: LayerOptions;
  /** The name that has the content, by inode. */
  readonly #written = new Map<bigint, Bytes>();
  /** Unchanged names that wait for a changed one, by inode. */
  readonly #waiting = new Map<bigint, TreeEntry[]>();
  readonly #folders = new Set<Bytes>();

  constructor(tree: FileTree, options: LayerOptions) {
    this.#tree = tree;
    this.#options = options;
  }

  /** Blocking reads. @throws ThinError io: a file became shorter meanwhile, or cannot be read */
  *write(changes: Iterable<TreeChange>): Generator<Buffer> {
    for (const change of changes)
      if (change.kind === 'deleted') yield* this.#whiteout(change.path);
      else yield* this.#entry(change, change.kind === 'same');
    yield TAR_END;
  }

  *#whiteout(path: Bytes): Generator<Buffer> {
    const slash = path.lastIndexOf('/');
    yield* this.#above(path);
    const name = `${path.slice(1, slash + 1)}${WHITEOUT}${path.slice(slash + 1)}`;
    yield tarHeader({ type: 'file', name, mode: 0, uid: 0, gid: 0, size: 0, mtime: 0 });
  }

  *#entry(entry: TreeEntry, isSame: boolean): Generator<Buffer> {
    const { path, stats } = entry;
    const type = typeOf(stats);
    if (type === undefined) return;
    const isLinked = type !== 'folder' && stats.nlink > 1n;
    const first = isLinked ? this.#written.get(stats.ino) : undefined;
    if (first !== undefined) {
      yield* this.#link(entry, first);
      return;
    }
    if (isSame) {
      this.#waiting.set(stats.ino, [...(this.#waiting.get(stats.ino) ?? []), entry]);
      return;
    }
    yield* this.#above(path);
    if (type === 'folder') this.#folders.add(path);
    const member = this.#member(entry, type);
    if (isLinked) this.#written.set(stats.ino, path);
    yield tarHeader(member);
    if (member.size > 0) yield* this.#content(path, member.size);
    const others = isLinked ? (this.#waiting.get(stats.ino) ?? []) : [];
    this.#waiting.delete(stats.ino);
    for (const other of others) yield* this.#link(other, path);
  }

  *#link(entry: TreeEntry, first: Bytes): Generator<Buffer> {
    yield* this.#above(entry.path);
    const member = this.#member(entry, 'link');
    yield tarHeader({ ...member, target: first.slice(1) });
  }

  /** Its folder, unless the layer has it; a layer has no root. */
  *#above(path: Bytes): Generator<Buffer> {
    const folder = path.slice(0, path.lastIndexOf('/'));
    if (folder === '' || this.#folders.has(folder)) return;
    this.#folders.add(folder);
    yield* this.#entry({ path: folder, stats: this.#tree.stats(folder) }, false);
  }

  #member({ path, stats }: TreeEntry, type: MemberType): Member {
    const mtime = Number(stats.mtimeNs >= 0n ? stats.mtimeNs / NANOSECONDS : floored(stats.mtimeNs));
    const isDevice = type === 'character' || type === 'block';
    return {
      type,
      name: `${path.slice(1)}${type === 'folder' ? '/' : ''}`,
      ...(type === 'symlink' ? { target: this.#tree.link(path) } : {}),
      mode: Number(stats.mode & 0o7777n),
      uid: Number(stats.uid),
      gid: Number(stats.gid),
      size: type === 'file' ? Number(stats.size) : 0,
      mtime: Math.min(mtime, this.#options.epoch ?? mtime),
      ...(isDevice ? deviceNumbers(stats.rdev) : {}),
      capability: this.#options.capabilities.get(path),
    };
  }

  *#content(path: Bytes, size: number): Generator<Buffer> {
    const file = openSync(this.#tree.at(path), constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      for (let left = size; left > 0;) {
        const piece = Buffer.allocUnsafe(Math.min(PIECE, left));
        const length = readSync(file, piece);
        if (length === 0)
          throw new ThinError(
            'io',
            `${Buffer.from(path, 'latin1').toString()} became shorter while it was read; pause the container`,
          );
        left -= length;
        yield piece.subarray(0, length);
      }
      yield padding(size);
    } finally {
      closeSync(file);
    }
  }
}

interface TreeEntry {
  readonly path: Bytes;
  readonly stats: BigIntStats;
}

/** Undefined: a socket, which a tar has no place for. */
function typeOf(stats: BigIntStats): MemberType | undefined {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'folder';
  if (stats.isSymbolicLink()) return 'symlink';
  if (stats.isFIFO()) return 'fifo';
  if (stats.isCharacterDevice()) return 'character';
  return stats.isBlockDevice() ? 'block' : undefined;
}

/** As glibc packs them (sys/sysmacros.h). */
function deviceNumbers(rdev: bigint): { readonly major: number; readonly minor: number } {
  return {
    major: Number(((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n)),
    minor: Number((rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n)),
  };
}

function floored(time: bigint): bigint {
  return (time - NANOSECONDS + 1n) / NANOSECONDS;
}
