import { open, realpath, rm } from 'node:fs/promises';
import path from 'node:path';
import { systemErrorCode, ThinError } from '../errors/thin-error.js';
import { LABEL_BYTES, labelOffset, type DataLabel } from '../format/data-label.js';
import type { Exec } from '../host/exec.js';
import { LoopDevices } from '../host/loop-devices.js';
import { openDataFile, readLabel, writeLabel, type DataFile } from '../store/data-file.js';

/** Less holds no filesystem worth a pool. */
const MIN_DATA = 64 * 2 ** 20;
const SECTOR = 512;

export interface DataRequest {
  readonly path: string;
  /** Bytes of a chunk. */
  readonly blockSize: number;
  /** Bytes that the pool may use; what the file or device has, where undefined. A file is made or enlarged to hold them. */
  readonly dataSize: number | undefined;
  /** For a file that is made. */
  readonly defaultSize: number;
  /** Take what carries something else's signature; it is wiped. */
  readonly force: boolean;
}

/** A file or device that is fit to be a pool's data, held open until `label` or `undo`. */
export interface PreparedData {
  /** Absolute, without symbolic links. */
  readonly path: string;
  /** Bytes, a multiple of the block size. */
  readonly dataSize: number;
  /** Makes it the data of this pool. */
  label(pool: Pick<DataLabel, 'uuid'>): Promise<void>;
  /** Lets go of it, and takes back what was made of it. Idempotent. */
  undo(): Promise<void>;
}

/**
 * Looks at what a `direct` pool is to be made on, and makes the file where there is none. Nothing else is changed before `label`.
 * Errors: busy (mounted, or in use otherwise), invalid-argument (too small, a folder), exists (a foreign signature, or another
 * pool's label, without `force`), not-found (the folder above), permission, no-space, missing-tool.
 */
export async function prepareData(request: DataRequest, exec: Exec): Promise<PreparedData> {
  const made = await makeFile(request);
  const place = await realpath(request.path);
  let file: DataFile | undefined;
  let labelled = false;
  const undo = async (): Promise<void> => {
    await file?.handle.close();
    file = undefined;
    if (made) await rm(place, { force: true });
    else if (labelled) await wipeLabel(place);
    labelled = false;
  };
  try {
    file = await openDataFile(place);
    if (!file.isBlockDevice) await requireNoLoop(place, exec);
    await requireUnsigned(file, place, request, exec);
    const { size, isBlockDevice } = file;
    const preallocated = !isBlockDevice && (await isAllocated(file));
    const wanted = chunksIn(request.dataSize ?? Math.max(0, size - LABEL_BYTES), request.blockSize);
    const least = wanted * request.blockSize + LABEL_BYTES;
    if (isBlockDevice && least > size) throw tooSmall(place, size, least);
    if (wanted * request.blockSize < MIN_DATA) throw tooSmall(place, size, MIN_DATA + LABEL_BYTES);
    const opened = file;
    return {
      path: place,
      dataSize: wanted * request.blockSize,
      label: async ({ uuid }) => {
        // --force: the device is held open here.
        if (request.force) await exec.run('wipefs', ['--all', '--force', '--quiet', place]);
        if (!isBlockDevice && least !== size) await opened.handle.truncate(Math.max(size, least));
        await writeLabel(
          { ...opened, size: isBlockDevice ? size : Math.max(size, least) },
          { uuid, blockSize: request.blockSize, chunks: wanted, preallocated },
        );
        labelled = true;
        file = undefined;
        await opened.handle.close();
      },
      undo,
    };
  } catch (error) {
    await undo();
    throw error;
  }
}

async function wipeLabel(place: string): Promise<void> {
  const { handle, size } = await openDataFile(place);
  try {
    await handle.write(new Uint8Array(LABEL_BYTES), 0, LABEL_BYTES, labelOffset(size));
  } finally {
    await handle.close();
  }
}

/** Whether it was made. */
async function makeFile({ path: place, dataSize, defaultSize, blockSize }: DataRequest): Promise<boolean> {
  try {
    const file = await open(place, 'wx', 0o600);
    await file.truncate(chunksIn(dataSize ?? defaultSize, blockSize) * blockSize + LABEL_BYTES);
    await file.close();
    return true;
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'EEXIST') return false;
    const options = { cause: error, details: { path: place } };
    if (code === 'ENOENT' || code === 'ENOTDIR')
      throw new ThinError('not-found', `the folder above ${place} does not exist; make it first`, options);
    if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS')
      throw new ThinError('permission', `${place} cannot be made (${code}); choose another path`, options);
    throw new ThinError('io', `${place} cannot be made: ${String(error)}`, options);
  }
}

/** A block device's holders show in its exclusive opening; a file's do not. */
async function requireNoLoop(place: string, exec: Exec): Promise<void> {
  const [loop] = await new LoopDevices(exec).findByBackingFile(place);
  if (loop === undefined) return;
  throw new ThinError(
    'busy',
    `${place} is in use: the loop device ${loop.device} is on it; detach that first (losetup --detach ${loop.device}), or give the device itself`,
    { details: { path: place, loop: loop.device } },
  );
}

async function requireUnsigned(
  file: DataFile,
  place: string,
  { force }: DataRequest,
  exec: Exec,
): Promise<void> {
  if (force) return;
  const label = await readLabel(file, place);
  if (label !== undefined) throw signed(place, `is the data of the thinfuse pool ${label.uuid}`);
  // 0: found, 2: nothing found, 8: several signatures contradict each other (blkid(8)).
  const probe = await exec.run('blkid', ['--probe', '--output', 'value', '--match-tag', 'TYPE', place], {
    okCodes: [0, 2, 8],
  });
  if (probe.code !== 2)
    throw signed(place, `carries a signature (${probe.stdout.trim() || 'partition table'})`);
}

function signed(place: string, what: string): ThinError {
  return new ThinError('exists', `${place} ${what}; choose another, or give --force to lose what is on it`, {
    details: { path: place },
  });
}

function tooSmall(place: string, size: number, needed: number): ThinError {
  return new ThinError(
    'invalid-argument',
    `${place} has ${String(size)} bytes and would need ${String(needed)}; give a larger one, or a smaller --data-size`,
    { details: { path: place } },
  );
}

function chunksIn(size: number, blockSize: number): number {
  return Math.floor(size / blockSize);
}

async function isAllocated({ handle, size }: DataFile): Promise<boolean> {
  return size > 0 && (await handle.stat()).blocks * SECTOR >= size;
}

/** Where the root says which file or device holds its data: a link in the pool's folder, after Docker's `devicemapper/data`. */
export function dataLink(poolFolder: string): string {
  return path.join(poolFolder, 'data');
}
