import { constants } from 'node:fs';
import { ThinError } from '../errors/thin-error.js';
import type { ImageDirectory, ImageFile } from '../io/image-file.js';

/** Of the flags of open(2); Node.js has no name for it. */
export const O_ACCMODE = 3;

export interface OpenFile {
  readonly name: string;
  readonly file: ImageFile;
  /** Opened with O_DSYNC or O_SYNC: what is changed through it is durable before the answer. */
  readonly durable: boolean;
  readonly forWriting: boolean;
}

/**
 * The handles that a transport has given out. A handle keeps to the file it was opened on, also when another
 * one comes to have its name. Numbers fit an i32 and are never 0, which FUSE libraries take for "none"; they
 * are not used again while open.
 */
export class OpenFiles {
  readonly #directory: ImageDirectory;
  readonly #open = new Map<number, OpenFile>();
  #last = 0;

  constructor(directory: ImageDirectory) {
    this.#directory = directory;
  }

  get size(): number {
    return this.#open.size;
  }

  /** @param flags of open(2) */
  open(name: string, file: ImageFile, flags: number): number {
    do this.#last = this.#last >= 0x7fff_ffff ? 1 : this.#last + 1;
    while (this.#open.has(this.#last));
    const durable = (flags & constants.O_DSYNC) !== 0;
    const forWriting = (flags & O_ACCMODE) !== constants.O_RDONLY;
    this.#open.set(this.#last, { name, file, durable, forWriting });
    this.#directory.opened?.(name, 1, forWriting);
    return this.#last;
  }

  /** The handles that are open, by number. */
  all(): readonly (readonly [number, OpenFile])[] {
    return [...this.#open];
  }

  /** A handle that an earlier process gave out. */
  adopt(handle: number, open: OpenFile): void {
    this.#last = Math.max(this.#last, handle);
    this.#open.set(handle, open);
    this.#directory.opened?.(open.name, 1, open.forWriting);
  }

  /** @throws ThinError closed */
  get(handle: number): OpenFile {
    const open = this.#open.get(handle);
    if (open === undefined)
      throw new ThinError('closed', `file handle ${handle} is not open; open the image file again`);
    return open;
  }

  release(handle: number): void {
    const open = this.#open.get(handle);
    if (open === undefined) return;
    this.#open.delete(handle);
    this.#directory.opened?.(open.name, -1, open.forWriting);
  }

  /** For a mount that ended without a RELEASE for each handle. */
  releaseAll(): void {
    for (const handle of [...this.#open.keys()]) this.release(handle);
  }
}
