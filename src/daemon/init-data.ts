import { open, realpath, rm } from 'node:fs/promises';
import { resolve } from 'node:path';
import { systemErrorCode, ThinError } from '../errors/thin-error.js';
import { MARGIN, type DataLabel } from '../format/data-label.js';
import type { Exec } from '../host/exec.js';
import { LoopDevices } from '../host/loop-devices.js';
import { isAtWork } from '../host/maker.js';
import { openDataFile, type DataFile } from '../store/data-file.js';
import { readLabel, writeLabels, zeroMargins } from '../store/data-labels.js';

/** Less holds no filesystem worth a pool. */
const MIN_DATA = 64 * 2 ** 20;
const SECTOR = 512;

export interface DataRequest {
  readonly path: string;
  /** Bytes of a chunk. */
  readonly blockSize: number;
  /**
   * Bytes that the pool may use; what the file or device has, where undefined. A file is made or enlarged to
   * hold them.
   */
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
  /** Makes it the data of this pool, which `maker` makes; both its ends are zeroes but for the labels. */
  label(pool: Pick<DataLabel, 'uuid' | 'maker'>): Promise<void>;
  /** The pool is whole. */
  finish(): Promise<void>;
  /** Lets go of it, and takes back what was made of it. Idempotent. */
  undo(): Promise<void>;
}

/**
 * Looks at what a `direct` pool is to be made on, and makes the file where there is none. Nothing else is
 * changed before `label`. Errors: busy (mounted, in use otherwise, or another pool is being made on it),
 * invalid-argument (too small, a folder), exists (a foreign signature, or the label of a pool that is whole,
 * without `force`), not-found (the folder above), permission, no-space, missing-tool.
 */
export async function prepareData(request: DataRequest, exec: Exec): Promise<PreparedData> {
  const made = await makeFile(request);
  const place = await realpath(request.path);
  let file: DataFile | undefined;
  let labelled: DataLabel | undefined;
  const undo = async (): Promise<void> => {
    await file?.handle.close();
    file = undefined;
    if (made) await rm(place, { force: true });
    else if (labelled) await withData(place, zeroMargins);
    labelled = undefined;
  };
  try {
    file = await openDataFile(place);
    if (!file.isBlockDevice) await requireNoLoop(place, exec);
    await requireUnsigned(file, place, request, exec);
    const { size, isBlockDevice } = file;
    const preallocated = !isBlockDevice && (await isAllocated(file));
    const wanted = chunksIn(request.dataSize ?? Math.max(0, size - 2 * MARGIN), request.blockSize);
    const least = wanted * request.blockSize + 2 * MARGIN;
    if (isBlockDevice && least > size) throw tooSmall(place, size, least);
    if (wanted * request.blockSize < MIN_DATA) throw tooSmall(place, size, MIN_DATA + 2 * MARGIN);
    const opened = file;
    return {
      // A name of /dev/mapper or /dev/disk stays over a reboot; the device that it leads to may be another.
      path: isBlockDevice ? resolve(request.path) : place,
      dataSize: wanted * request.blockSize,
      label: async ({ uuid, maker }) => {
        // --force: the device is held open here.
        if (request.force) await exec.run('wipefs', ['--all', '--force', '--quiet', place]);
        if (!isBlockDevice && least !== size) await opened.handle.truncate(Math.max(size, least));
        const whole = { ...opened, size: isBlockDevice ? size : Math.max(size, least) };
        await zeroMargins(whole);
        labelled = await writeLabels(whole, {
          uuid,
          blockSize: request.blockSize,
          chunks: wanted,
          preallocated,
          start: MARGIN,
          maker,
        });
        file = undefined;
        await opened.handle.close();
      },
      finish: () => withData(place, finishLabels),
      undo,
    };
  } catch (error) {
    await undo();
    throw error;
  }
}

async function withData<T>(place: string, work: (file: DataFile) => Promise<T>): Promise<T> {
  const file = await openDataFile(place);
  try {
    return await work(file);
  } finally {
    await file.handle.close();
  }
}

async function finishLabels(file: DataFile): Promise<void> {
  const label = await readLabel(file, 'data');
  if (label !== undefined) await writeLabels(file, { ...label, maker: '' });
}

/**
 * Takes the labels of the pool `uuid` from its data if it was never whole. `whole`: it is, for its making
 * ends with its label's.
 * @throws ThinError as `openDataFile`
 */
export async function endUnfinished(place: string, uuid: string): Promise<'whole' | 'cleared' | 'foreign'> {
  return withData(place, async (file) => {
    const label = await readLabel(file, place);
    if (label?.uuid !== uuid) return 'foreign';
    if (label.maker === '') return 'whole';
    await zeroMargins(file);
    return 'cleared';
  });
}

/** Takes what says that it is a pool's data, at both ends. Errors: busy, permission, io. */
export async function removeLabel(place: string): Promise<void> {
  await withData(place, zeroMargins);
}

/** Whether it was made. */
async function makeFile({ path: place, dataSize, defaultSize, blockSize }: DataRequest): Promise<boolean> {
  try {
    const file = await open(place, 'wx', 0o600);
    await file.truncate(chunksIn(dataSize ?? defaultSize, blockSize) * blockSize + 2 * MARGIN);
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
  if (label !== undefined && (label.maker === '' || (await isAtWork(label.maker)))) {
    if (label.maker === '') throw signed(place, `is the data of the thinfuse pool ${label.uuid}`);
    throw new ThinError('busy', `${label.maker} is making ${place} the data of a pool; wait for it`, {
      details: { path: place },
    });
  }
  // 0: found, 2: nothing found, 8: several signatures contradict each other (blkid(8)).
  const probe = await exec.run('blkid', ['--probe', '--output', 'value', '--match-tag', 'TYPE', place], {
    okCodes: [0, 2, 8],
  });
  if (probe.code !== 2)
    throw signed(place, `carries a signature (${probe.stdout.trim() || 'partition table'})`);
}

function signed(place: string, what: string): ThinError {
  return new ThinError('exists', `${place} ${what}; choose another, or give --force to overwrite it`, {
    details: { path: place },
  });
}

function tooSmall(place: string, size: number, needed: number): ThinError {
  return new ThinError(
    'invalid-argument',
    `${place} has ${size} bytes and would need ${needed}; give a larger one, or a smaller --data-size`,
    { details: { path: place } },
  );
}

function chunksIn(size: number, blockSize: number): number {
  return Math.floor(size / blockSize);
}

/** Whether the file has all its space. */
export async function isAllocated({ handle, size }: DataFile): Promise<boolean> {
  return size > 0 && (await handle.stat()).blocks * SECTOR >= size;
}
