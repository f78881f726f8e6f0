import { closeSync, constants, fstatSync, openSync, read, readFileSync, readSync, type Stats } from 'node:fs';
import { promisify } from 'node:util';
import { ThinError, systemErrorCode } from '../errors/thin-error.js';
import type { Gap } from './block-reader.js';
import { SECTOR } from './disk-block.js';
import { gapBehind, type DiskPlace, type DiskReader } from './disk-reader.js';
import { legacyDamage } from './legacy-damage.js';

const readFd = promisify(read);

/** A file or block device of an old pool, opened for reading only and closed by `close`. */
export class SourceFile implements DiskReader {
  readonly path: string;
  readonly size: number;
  readonly #fd: number;

  /**
   * Errors: not-found, permission, invalid-argument (neither a file nor a block device), io. `what`: what it
   * is to the user, such as `--data`.
   */
  constructor(path: string, what: string) {
    this.path = path;
    this.#fd = openReadOnly(path, what);
    try {
      this.size = sizeOf(this.#fd, path, what);
    } catch (error) {
      closeSync(this.#fd);
      throw error;
    }
  }

  gaps(begin: number, end: number): readonly Gap[] {
    return gapBehind(this.size, begin, end, this.path);
  }

  places(begin: number, end: number): readonly DiskPlace[] {
    const length = Math.min(end, this.size) - begin;
    return length <= 0 ? [] : [{ path: this.path, offset: begin, length }];
  }

  close(): void {
    closeSync(this.#fd);
  }

  readSync(offset: number, length: number, into?: Buffer): Buffer {
    const bytes = into ?? Buffer.allocUnsafe(length);
    let done = 0;
    try {
      while (done < length) {
        const got = readSync(this.#fd, bytes, done, length - done, offset + done);
        if (got === 0) throw legacyDamage(`byte ${offset + done}`, `${this.path} ends before it`);
        done += got;
      }
    } catch (error) {
      throw unreadable(error, `byte ${offset + done}`, this.path);
    }
    return bytes;
  }

  async read(offset: number, into: Uint8Array): Promise<void> {
    let done = 0;
    try {
      while (done < into.length) {
        const { bytesRead } = await readFd(this.#fd, into, done, into.length - done, offset + done);
        if (bytesRead === 0)
          throw legacyDamage(`byte ${offset + done} of the data`, `${this.path} ends before it`);
        done += bytesRead;
      }
    } catch (error) {
      throw unreadable(error, `byte ${offset + done} of the data`, this.path);
    }
  }
}

function openReadOnly(path: string, what: string): number {
  try {
    // O_NONBLOCK: a FIFO without a writer must not block; for files and block devices it means nothing.
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const code = systemErrorCode(error);
    const options = { cause: error, details: { path } };
    if (code === 'ENOENT' || code === 'ENOTDIR')
      throw new ThinError(
        'not-found',
        `${what} ${path} is not there; name a file or a block device`,
        options,
      );
    if (code === 'EACCES' || code === 'EPERM')
      throw new ThinError('permission', `${what} ${path} may not be read; run as root`, options);
    throw new ThinError('io', `${what} ${path} cannot be opened: ${String(error)}`, options);
  }
}

function sizeOf(fd: number, path: string, what: string): number {
  const found = fstatSync(fd);
  if (found.isFile()) return found.size;
  if (found.isBlockDevice()) return deviceSize(found, path);
  throw new ThinError(
    'invalid-argument',
    `${what} ${path} is neither a file nor a block device; give the metadata and the data of a thin pool`,
    { details: { path } },
  );
}

/** stat has no size for a block device, and Node no ioctl. */
function deviceSize({ rdev }: Stats, path: string): number {
  const minor = (rdev & 0xff) | ((rdev >>> 12) & 0xfff00);
  const number = `${(rdev >>> 8) & 0xfff}:${minor}`;
  try {
    return Number(readFileSync(`/sys/dev/block/${number}/size`, 'utf8')) * SECTOR;
  } catch (error) {
    throw new ThinError(
      'missing-device',
      `the size of ${path} (${number}) cannot be found in /sys: ${String(error)}; mount /sys, or copy the device into a file`,
      { cause: error, details: { path } },
    );
  }
}

function unreadable(error: unknown, where: string, path: string): ThinError {
  if (error instanceof ThinError) return error;
  return legacyDamage(where, `${path} cannot be read there (${systemErrorCode(error) ?? String(error)})`);
}
