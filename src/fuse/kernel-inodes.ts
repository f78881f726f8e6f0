import type { ImageDirectory, ImageFile } from '../io/image-file.js';
import { ROOT_NODE } from './kernel-protocol.js';

export interface Inode {
  readonly id: number;
  readonly name: string;
  readonly file: ImageFile;
}

interface CountedInode extends Inode {
  lookups: number;
}

/**
 * The node ids that the kernel knows. An id stands for one image under one name: when another image takes the
 * name, it gets an id of its own, and what is open on the old one stays there. The kernel says when it has
 * forgotten one (FORGET).
 */
export class KernelInodes {
  readonly #directory: ImageDirectory;
  readonly #byId = new Map<number, CountedInode>();
  readonly #byName = new Map<string, CountedInode>();
  #last = ROOT_NODE;

  constructor(directory: ImageDirectory) {
    this.#directory = directory;
  }

  get size(): number {
    return this.#byId.size;
  }

  /** Counts as one lookup; undefined where the directory has no such name. */
  lookup(name: string): Inode | undefined {
    const file = this.#directory.lookup(name);
    if (file === undefined) return undefined;
    let inode = this.#byName.get(name);
    if (inode?.file !== file) {
      inode = { id: ++this.#last, name, file, lookups: 0 };
      this.#byId.set(inode.id, inode);
      this.#byName.set(name, inode);
    }
    inode.lookups += 1;
    return inode;
  }

  get(id: number): Inode | undefined {
    return this.#byId.get(id);
  }

  /** Everything the kernel knows, for the process that takes over. */
  known(): readonly { readonly id: number; readonly name: string }[] {
    return [...this.#byId.values()].map(({ id, name }) => ({ id, name }));
  }

  /**
   * Takes over a node that the kernel knows from an earlier process. The number of lookups is unknown, so the
   * node is never forgotten.
   */
  adopt(id: number, name: string, file: ImageFile): Inode {
    const inode = { id, name, file, lookups: Infinity };
    this.#last = Math.max(this.#last, id);
    this.#byId.set(id, inode);
    this.#byName.set(name, inode);
    return inode;
  }

  /** The id under which the kernel knows a name, if it does. */
  idOf(name: string): number | undefined {
    return this.#byName.get(name)?.id;
  }

  /** Whether that was the last the kernel knew of it. */
  forget(id: number, lookups: number): boolean {
    const inode = this.#byId.get(id);
    if (inode === undefined) return false;
    inode.lookups -= lookups;
    if (inode.lookups > 0) return false;
    this.#byId.delete(id);
    if (this.#byName.get(inode.name) === inode) this.#byName.delete(inode.name);
    return true;
  }
}
