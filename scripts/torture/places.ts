import { closeSync, constants, fsyncSync, openSync, renameSync, unlinkSync, writeSync } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import path from 'node:path';
import { systemErrorCode } from '../../src/errors/thin-error.js';
import { PAGE } from '../../test/support/stamped-pages.js';

/** `files`: a mounted filesystem; `raw`: a device's image file. */
export type PlaceKind = 'files' | 'raw';

const FILES = 16;
const PAGES_OF_FILE = 64;
export const PAGES = FILES * PAGES_OF_FILE;
/** Pages that one write takes at most. */
export const MOST_PAGES = 16;
/**
 * A device has a filesystem, which nobody mounts here; it is empty, and its structures lie before this byte.
 */
const RAW_START = 40 * 2 ** 20;
const LITTER_BYTES = 768 * 1024;

/**
 * Where a writer's pages lie. The writer is the only one that changes them, and works synchronously: it can
 * be made to hang.
 */
export interface Place {
  /** Pages that a run from `page` on may have. */
  room(page: number): number;
  write(page: number, bytes: Uint8Array): void;
  /** Makes durable what was written to these pages, at least. */
  sync(page: number): { readonly first: number; readonly pages: number };
  /** Writes anew what lies together with the page, durably. */
  replace(page: number, bytes: (first: number, pages: number) => Uint8Array): void;
  /** Uses space and gives it back. */
  litter(number: number): void;
  close(): void;
}

export function openPlace(kind: PlaceKind, where: string): Place {
  return kind === 'raw' ? new RawPlace(where) : new FilesPlace(where);
}

class RawPlace implements Place {
  readonly #file: number;
  readonly #durable: number;

  constructor(image: string) {
    this.#file = openSync(image, 'r+');
    this.#durable = openSync(image, constants.O_RDWR | constants.O_DSYNC);
  }

  room(page: number): number {
    return PAGES - page;
  }

  write(page: number, bytes: Uint8Array): void {
    writeWhole(this.#file, bytes, RAW_START + page * PAGE);
  }

  sync(): { first: number; pages: number } {
    fsyncSync(this.#file);
    return { first: 0, pages: PAGES };
  }

  /** A few pages, with one write that is durable when it returns. */
  replace(page: number, bytes: (first: number, pages: number) => Uint8Array): void {
    const pages = Math.min(this.room(page), 1 + (page % MOST_PAGES));
    writeWhole(this.#durable, bytes(page, pages), RAW_START + page * PAGE);
  }

  litter(): void {
    // A device has no space to give back here.
  }

  close(): void {
    closeGone(this.#file);
    closeGone(this.#durable);
  }
}

class FilesPlace implements Place {
  readonly #folder: string;
  readonly #open = new Map<number, number>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  room(page: number): number {
    return PAGES_OF_FILE - (page % PAGES_OF_FILE);
  }

  write(page: number, bytes: Uint8Array): void {
    writeWhole(this.#handle(fileOf(page)), bytes, (page % PAGES_OF_FILE) * PAGE);
  }

  sync(page: number): { first: number; pages: number } {
    fsyncSync(this.#handle(fileOf(page)));
    return { first: fileOf(page) * PAGES_OF_FILE, pages: PAGES_OF_FILE };
  }

  /** A whole file by another of its name, so that the old one's space becomes free. */
  replace(page: number, bytes: (first: number, pages: number) => Uint8Array): void {
    const file = fileOf(page);
    const fresh = path.join(this.#folder, 'rootfs', 'fresh');
    const handle = openSync(fresh, 'w');
    try {
      writeWhole(handle, bytes(file * PAGES_OF_FILE, PAGES_OF_FILE), 0);
      fsyncSync(handle);
      renameSync(fresh, pathOf(this.#folder, file));
      this.#syncFolder();
      // xfs calls a folder synced also where it shut down before that; of a file it tells.
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
    const old = this.#open.get(file);
    this.#open.delete(file);
    if (old !== undefined) closeSync(old);
  }

  litter(number: number): void {
    const name = (which: number): string => path.join(this.#folder, 'rootfs', `litter-${which % 4}`);
    const handle = openSync(name(number), 'w');
    try {
      writeWhole(handle, new Uint8Array(LITTER_BYTES).fill(1 + (number % 255)), 0);
    } finally {
      closeSync(handle);
    }
    try {
      unlinkSync(name(number + 1));
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') throw error;
    }
  }

  close(): void {
    for (const handle of this.#open.values()) closeGone(handle);
    this.#open.clear();
  }

  #handle(file: number): number {
    let handle = this.#open.get(file);
    if (handle === undefined) {
      // Not `w`: what is there stays. The name is durable with the first fsync of the file, xfs having one
      // log.
      handle = openSync(pathOf(this.#folder, file), 'a+');
      closeSync(handle);
      handle = openSync(pathOf(this.#folder, file), 'r+');
      this.#open.set(file, handle);
      this.#syncFolder();
    }
    return handle;
  }

  #syncFolder(): void {
    const folder = openSync(path.join(this.#folder, 'rootfs'), 'r');
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
  }
}

/** All pages as they are now; zeroes where there are none. */
export async function readPlace(kind: PlaceKind, where: string): Promise<Uint8Array> {
  const bytes = new Uint8Array(PAGES * PAGE);
  if (kind === 'raw') {
    const handle = await open(where, 'r');
    try {
      await handle.read(bytes, 0, bytes.length, RAW_START);
    } finally {
      await handle.close();
    }
    return bytes;
  }
  for (let file = 0; file < FILES; file++) {
    const content = await readFile(pathOf(where, file)).catch((error: unknown) => {
      if (systemErrorCode(error) !== 'ENOENT') throw error;
      return new Uint8Array();
    });
    bytes.set(content.subarray(0, PAGES_OF_FILE * PAGE), file * PAGES_OF_FILE * PAGE);
  }
  return bytes;
}

function fileOf(page: number): number {
  return Math.floor(page / PAGES_OF_FILE);
}

function pathOf(folder: string, file: number): string {
  return path.join(folder, 'rootfs', `file-${file}`);
}

/** What served it may be gone, and says so once more. */
function closeGone(handle: number): void {
  try {
    closeSync(handle);
  } catch {
    // It is closed all the same.
  }
}

function writeWhole(handle: number, bytes: Uint8Array, at: number): void {
  for (let done = 0; done < bytes.length;)
    done += writeSync(handle, bytes, done, bytes.length - done, at + done);
}
