import { writeSync } from 'node:fs';
import { open, readFile, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { systemErrorCode, ThinError, toThinError } from '../errors/thin-error.js';
import {
  MARK_BYTES,
  MARK_SLOT_BYTES,
  MARK_SLOT_STEP,
  packMarkSlot,
  unpackCommitNumber,
  type CommitNumber,
} from '../format/commit-number.js';
import { fileError } from './level-errors.js';
import { replaceFile } from './replaced-file.js';

/** In the store's folder, beside LevelDB's files. */
export const MARK_FILE = 'commit-mark';
/** Milliseconds until a mark without a waiting caller goes to the disk. */
const SOON_MS = 1000;

/** What stands in a folder: the later of two slots, or that neither can be read. */
export type ReadMark = CommitNumber | 'missing' | 'damaged';

/** @throws ThinError wrong-version, io */
export async function readMark(folder: string): Promise<ReadMark> {
  return readSlots(path.join(folder, MARK_FILE), () => true);
}

/** @param counts whether a slot says something @throws ThinError wrong-version, io */
export async function readSlots(file: string, counts: (slot: CommitNumber) => boolean): Promise<ReadMark> {
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return 'missing';
    throw fileError(file, error);
  }
  let latest: CommitNumber | undefined;
  for (const at of [0, MARK_SLOT_STEP])
    try {
      const slot = unpackCommitNumber(bytes.subarray(at, at + MARK_SLOT_BYTES), file);
      if (counts(slot) && (latest === undefined || slot.number > latest.number)) latest = slot;
    } catch (error) {
      if (!(error instanceof ThinError) || error.code !== 'damaged') throw error;
    }
  return latest ?? 'damaged';
}

/**
 * Says, outside of the store, which commit was the last that was acknowledged. It never says more than the
 * store has: a commit is durable there before it is written here. It may say less after the machine has
 * stopped, for only some callers wait until it is on the disk.
 *
 * It is overwritten in place, in two slots by turns: one that is torn leaves the other, and no write needs
 * room.
 */
export class CommitMark {
  readonly #handle: FileHandle;
  readonly #onFailed: (error: ThinError) => void;
  #timer: NodeJS.Timeout | undefined;
  #synced: Promise<void> = Promise.resolve();
  #failed = false;

  private constructor(handle: FileHandle, onFailed: (error: ThinError) => void) {
    this.#handle = handle;
    this.#onFailed = onFailed;
  }

  /**
   * @param onFailed the mark could not be written, and stays as it was from then on: the store goes on
   *   without it
   * @throws ThinError io, permission
   */
  static async open(folder: string, onFailed: (error: ThinError) => void): Promise<CommitMark> {
    const file = path.join(folder, MARK_FILE);
    try {
      return new CommitMark(await open(file, 'r+'), onFailed);
    } catch (error) {
      throw fileError(file, error);
    }
  }

  /**
   * Puts one in the place of whatever is there, whole and durable, or leaves that. @throws ThinError
   * no-space, io, permission, read-only
   */
  static async make(folder: string, commit: CommitNumber): Promise<void> {
    const bytes = new Uint8Array(MARK_BYTES);
    bytes.set(packMarkSlot(commit), 0);
    bytes.set(packMarkSlot(commit), MARK_SLOT_STEP);
    await replaceFile(path.join(folder, MARK_FILE), (handle) => handle.writeFile(bytes));
  }

  /** In the kernel's hands when it returns, and so there also where this process dies. Never throws. */
  write(commit: CommitNumber): void {
    if (this.#failed) return;
    try {
      writeSync(
        this.#handle.fd,
        packMarkSlot(commit),
        0,
        MARK_SLOT_BYTES,
        (commit.number % 2) * MARK_SLOT_STEP,
      );
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.#timer ??= setTimeout(() => void this.sync(), SOON_MS).unref();
  }

  /** Earlier writes are durable when it resolves. Never rejects. */
  sync(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#synced = this.#synced.then(async () => {
      if (this.#failed) return;
      await this.#handle.datasync().catch((error: unknown) => this.#fail(error));
    });
    return this.#synced;
  }

  async close(): Promise<void> {
    await this.sync();
    await this.#handle.close();
  }

  #fail(error: unknown): void {
    this.#failed = true;
    this.#onFailed(toThinError(fileError(MARK_FILE, error)));
  }
}
