import { open, rm, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { systemErrorCode, ThinError } from '../errors/thin-error.js';
import type { ImageFile } from '../io/image-file.js';

/** Bytes; what a filesystem's log is replayed in. */
const PAGE = 4096;
const ZEROES = Buffer.alloc(2 ** 20);

/**
 * A writable image over one that is not. Writes go to a private scratch file, which is removed with the
 * image.
 */
export class OverlayImage implements ImageFile {
  readonly readOnly = false;
  readonly size: number;
  readonly mappedBytes: number;
  readonly modifiedAt: number;
  readonly #base: ImageFile;
  readonly #scratch: FileHandle;
  readonly #written = new Set<number>();
  #lastWrite: Promise<void> = Promise.resolve();

  private constructor(base: ImageFile, scratch: FileHandle) {
    this.#base = base;
    this.#scratch = scratch;
    this.size = base.size;
    this.mappedBytes = base.mappedBytes;
    this.modifiedAt = base.modifiedAt;
  }

  /** Errors: open(2)'s, of a file in the folder for temporary ones. */
  static async over(base: ImageFile): Promise<OverlayImage> {
    const file = path.join(tmpdir(), `thinfuse-overlay-${process.pid}-${Date.now()}`);
    const scratch = await open(file, 'wx+', 0o600);
    await rm(file, { force: true });
    return new OverlayImage(base, scratch);
  }

  /** Errors: those of the image below. */
  async read(offset: number, into: Uint8Array): Promise<void> {
    const end = offset + into.length;
    for (let at = offset; at < end;) {
      const own = this.#written.has(Math.floor(at / PAGE));
      let stop = at;
      while (stop < end && this.#written.has(Math.floor(stop / PAGE)) === own)
        stop = Math.min(end, (Math.floor(stop / PAGE) + 1) * PAGE);
      const piece = into.subarray(at - offset, stop - offset);
      if (own) await this.#readScratch(at, piece);
      else await this.#base.read(at, piece);
      at = stop;
    }
  }

  /** Errors: no-space (for the scratch file), those of the image below. */
  write(offset: number, from: Uint8Array): Promise<void> {
    // One after the other: two that begin in one page would each bring it from below.
    const written = this.#lastWrite.then(() => this.#write(offset, from));
    this.#lastWrite = written.catch(() => undefined);
    return written;
  }

  discard(offset: number, length: number): Promise<void> {
    return this.writeZeroes(offset, length);
  }

  async writeZeroes(offset: number, length: number): Promise<void> {
    for (let done = 0; done < length; done += ZEROES.length)
      await this.write(offset + done, ZEROES.subarray(0, Math.min(ZEROES.length, length - done)));
  }

  flush(): Promise<void> {
    return this.#lastWrite;
  }

  /** As if there were no holes, which is always true. */
  seek(offset: number, what: 'data' | 'hole'): Promise<number | undefined> {
    if (what === 'hole') return Promise.resolve(this.size);
    return Promise.resolve(offset < this.size ? offset : undefined);
  }

  async close(): Promise<void> {
    await this.#scratch.close();
  }

  async #write(offset: number, from: Uint8Array): Promise<void> {
    const end = offset + from.length;
    const [first, last] = [Math.floor(offset / PAGE), Math.floor((end - 1) / PAGE)];
    if (offset % PAGE !== 0) await this.#bringUp(first);
    if (end % PAGE !== 0) await this.#bringUp(last);
    await this.#writeScratch(offset, from);
    for (let page = first; page <= last; page++) this.#written.add(page);
  }

  async #bringUp(page: number): Promise<void> {
    if (this.#written.has(page)) return;
    const bytes = Buffer.alloc(Math.min(PAGE, this.size - page * PAGE));
    await this.#base.read(page * PAGE, bytes);
    await this.#writeScratch(page * PAGE, bytes);
    this.#written.add(page);
  }

  async #readScratch(offset: number, into: Uint8Array): Promise<void> {
    const { bytesRead } = await this.#scratch.read(into, 0, into.length, offset);
    into.fill(0, bytesRead);
  }

  async #writeScratch(offset: number, from: Uint8Array): Promise<void> {
    try {
      let done = 0;
      while (done < from.length)
        done += (await this.#scratch.write(from, done, from.length - done, offset + done)).bytesWritten;
    } catch (error) {
      throw new ThinError(
        systemErrorCode(error) === 'ENOSPC' ? 'no-space' : 'io',
        `what a filesystem's log holds cannot be kept in ${tmpdir()} (${String(error)}); make room there, or name another folder with TMPDIR`,
        { cause: error },
      );
    }
  }
}
