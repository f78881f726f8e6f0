import { open, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { systemErrorCode, ThinError } from '../errors/thin-error.js';
import { isZero } from '../format/is-zero.js';
import { copyPieces, pieces, type CopyWork, type MappedRun } from './copy-pieces.js';

/**
 * Has `write` fill a file that appears whole or not at all; one of that name is replaced. `part` is its name
 * until then, open as `handle`. Errors: not-found (no such folder), invalid-argument (something that is no
 * file has the name), no-space, permission, io; those of `write`.
 */
export async function writeOutput<T>(
  output: string,
  write: (part: string, handle: FileHandle) => Promise<T>,
): Promise<T> {
  const file = path.resolve(output);
  await refuseSpecial(file);
  const part = path.join(path.dirname(file), `.${path.basename(file)}.${process.pid}.part`);
  let handle: FileHandle | undefined;
  try {
    handle = await open(part, 'wx', 0o600);
    const result = await write(part, handle);
    await handle.sync();
    await rename(part, file);
    return result;
  } catch (error) {
    // A part of that name which was there before is another process's.
    if (handle !== undefined) await rm(part, { force: true });
    throw outputError(error, file);
  } finally {
    await handle?.close();
  }
}

/** Bytes; what a hole is worth. */
const SPARSE_UNIT = 65536;

export interface RawExport {
  readonly runs: Iterable<MappedRun> | AsyncIterable<MappedRun>;
  readonly read: CopyWork['read'];
  readonly blockSize: number;
  /** Bytes of the device, and so of the file. */
  readonly size: number;
}

/**
 * Writes a device into a sparse file: what is not mapped is a hole. Errors: as `writeOutput`; damaged;
 * closed.
 */
export async function exportRaw(
  { runs, read, blockSize, size }: RawExport,
  output: string,
  options: Pick<CopyWork, 'onBytes' | 'signal'> & {
    /** What is all zeroes becomes a hole, too: for what has no holes of its own. */
    readonly sparse?: boolean;
  } = {},
): Promise<void> {
  const { sparse = false, ...work } = options;
  await writeOutput(output, async (_part, handle) => {
    await handle.truncate(size);
    await copyPieces(pieces(runs, blockSize, size), {
      ...work,
      read,
      write: (offset, from) => (sparse ? writeSparse(handle, offset, from) : writeAll(handle, offset, from)),
    });
  });
}

/** Writes runs of units that are not all zeroes. */
async function writeSparse(handle: FileHandle, offset: number, from: Uint8Array): Promise<void> {
  let begin = 0;
  for (let at = 0; at <= from.length; at += SPARSE_UNIT) {
    const unit = from.subarray(at, at + SPARSE_UNIT);
    if (unit.length > 0 && !isZero(unit)) continue;
    if (at > begin) await writeAll(handle, offset + begin, from.subarray(begin, at));
    begin = at + SPARSE_UNIT;
  }
  if (begin < from.length) await writeAll(handle, offset + begin, from.subarray(begin));
}

/** All of `from`, however many writes it takes. */
export async function writeAll(handle: FileHandle, offset: number, from: Uint8Array): Promise<void> {
  for (let done = 0; done < from.length;) {
    const { bytesWritten } = await handle.write(from, done, from.length - done, offset + done);
    done += bytesWritten;
  }
}

async function refuseSpecial(file: string): Promise<void> {
  const found = await stat(file).catch(() => undefined);
  if (found === undefined || found.isFile()) return;
  throw new ThinError(
    'invalid-argument',
    `${file} exists and is not a file; name a file to write, and copy it from there with: dd conv=sparse`,
    { details: { path: file } },
  );
}

/** What the system says of a file that is written. */
export function outputError(error: unknown, file: string): unknown {
  const code = systemErrorCode(error);
  if (error instanceof ThinError || code === undefined) return error;
  const options = { cause: error, details: { path: file } };
  if (code === 'ENOENT' || code === 'ENOTDIR')
    return new ThinError('not-found', `${path.dirname(file)} is not there; make the folder first`, options);
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new ThinError('no-space', `no space is left for ${file}; write it to a larger disk`, options);
  if (code === 'EFBIG')
    return new ThinError(
      'too-large',
      `${file} would be larger than its filesystem allows; write it elsewhere`,
      options,
    );
  if (code === 'EACCES' || code === 'EPERM')
    return new ThinError('permission', `${file} may not be written; run as root`, options);
  if (code === 'EROFS')
    return new ThinError('read-only', `${file} lies on a read-only filesystem; write it elsewhere`, options);
  return new ThinError('io', `${file} cannot be written (${code}); look at dmesg`, options);
}
