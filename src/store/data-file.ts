import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { systemErrorCode, ThinError } from '../errors/thin-error.js';
import {
  LABEL_BYTES,
  labelOffset,
  packDataLabel,
  unpackDataLabel,
  type DataLabel,
} from '../format/data-label.js';

/** The data of a `direct` pool, open. */
export interface DataFile {
  readonly handle: FileHandle;
  /** Bytes, label included. */
  readonly size: number;
  readonly isBlockDevice: boolean;
}

/**
 * Opens a file or block device for a pool's data. A block device is opened exclusively, as mount(2) does it: what is mounted, or another
 * pool's, is refused, and nobody can mount it meanwhile.
 * @throws ThinError not-found, busy, permission, invalid-argument (neither file nor block device), io
 */
export async function openDataFile(path: string): Promise<DataFile> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, constants.O_RDWR);
    const stat = await handle.stat();
    if (!stat.isFile() && !stat.isBlockDevice())
      throw new ThinError(
        'invalid-argument',
        `${path} is neither a file nor a block device; give one of those`,
      );
    if (!stat.isBlockDevice()) return { handle, size: stat.size, isBlockDevice: false };
    await handle.close();
    handle = await open(path, constants.O_RDWR | constants.O_EXCL);
    return { handle, size: await sizeOfDevice(handle), isBlockDevice: true };
  } catch (error) {
    await handle?.close();
    throw openError(path, error);
  }
}

/** What stands where a label belongs, or undefined where that is none. @throws ThinError wrong-version, io */
export async function readLabel({ handle, size }: DataFile, path: string): Promise<DataLabel | undefined> {
  const bytes = new Uint8Array(LABEL_BYTES);
  if (size < LABEL_BYTES) return undefined;
  await handle.read(bytes, 0, LABEL_BYTES, labelOffset(size));
  try {
    return unpackDataLabel(bytes, path);
  } catch (error) {
    if (error instanceof ThinError && error.code === 'damaged') return undefined;
    throw error;
  }
}

/** Durable when it resolves. */
export async function writeLabel({ handle, size }: DataFile, label: DataLabel): Promise<void> {
  await writeLabelAt(handle, labelOffset(size), label);
}

export async function writeLabelAt(handle: FileHandle, at: number, label: DataLabel): Promise<void> {
  await handle.write(packDataLabel(label), 0, LABEL_BYTES, at);
  await handle.sync();
}

/** The data of a pool that is there. */
export interface PoolData extends DataFile {
  readonly label: DataLabel;
  /** Where the label stands, in bytes. */
  readonly labelAt: number;
}

/** Bytes behind the chunks in which a label is looked for that is not at the end. */
const LABEL_SEARCH = 4 * 2 ** 20;

/**
 * Opens the data of a pool that is there. @throws ThinError as `openDataFile`, and damaged where it is another pool's, or was cut short
 */
export async function openPoolData(
  path: string,
  pool: { readonly uuid: string; readonly blockSize: number; readonly chunks: number },
): Promise<PoolData> {
  const file = await openDataFile(path);
  try {
    const needed = pool.blockSize * pool.chunks + LABEL_BYTES;
    if (file.size < needed)
      throw damagedData(path, `it has ${String(file.size)} bytes, and the pool needs ${String(needed)}`);
    const { label, labelAt } = (await findLabel(file, path, pool)) ?? {};
    if (label === undefined || labelAt === undefined)
      throw damagedData(path, "it does not carry a pool's label at its end");
    if (label.uuid !== pool.uuid)
      throw damagedData(path, `it belongs to the pool ${label.uuid}, and this one is ${pool.uuid}`);
    return { ...file, label, labelAt };
  } catch (error) {
    await file.handle.close();
    throw error;
  }
}

/** At the end, or, where the data grew under the pool, close behind its chunks. */
async function findLabel(
  file: DataFile,
  path: string,
  pool: { readonly blockSize: number; readonly chunks: number },
): Promise<{ label: DataLabel; labelAt: number } | undefined> {
  const atEnd = await readLabel(file, path);
  if (atEnd !== undefined) return { label: atEnd, labelAt: labelOffset(file.size) };
  const end = pool.blockSize * pool.chunks;
  const until = Math.min(file.size, end + Math.min(pool.blockSize, LABEL_SEARCH) + LABEL_BYTES);
  for (let size = end + LABEL_BYTES; size <= until; size += LABEL_BYTES) {
    const label = await readLabel({ ...file, size }, path);
    if (label !== undefined) return { label, labelAt: labelOffset(size) };
  }
  return undefined;
}

function damagedData(path: string, problem: string): ThinError {
  return new ThinError(
    'damaged',
    `${path} is not the data that this pool was made on: ${problem}; put the right file or device in its place`,
    { details: { path } },
  );
}

/** A block device has no size of its own in stat(2): the last byte that can be read tells it. */
export async function sizeOfDevice(handle: FileHandle): Promise<number> {
  const probe = new Uint8Array(1);
  const isThere = async (at: number): Promise<boolean> =>
    (await handle.read(probe, 0, 1, at)).bytesRead === 1;
  let low = 0;
  let high = 512;
  while (await isThere(high - 1)) [low, high] = [high, high * 2];
  while (high - low > 512) {
    const middle = low + Math.floor((high - low) / 1024) * 512;
    if (await isThere(middle - 1)) low = middle;
    else high = middle;
  }
  return low;
}

function openError(path: string, error: unknown): ThinError {
  if (error instanceof ThinError) return error;
  const code = systemErrorCode(error);
  const options = { cause: error, details: { path } };
  if (code === 'EBUSY')
    return new ThinError(
      'busy',
      `${path} is in use: mounted, part of an array or a volume group, or the data of another pool; lsblk shows by what`,
      options,
    );
  if (code === 'ENOENT' || code === 'ENXIO')
    return new ThinError(
      'not-found',
      `the pool's data ${path} is not there; attach its device or put its file back`,
      options,
    );
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS')
    return new ThinError(
      'permission',
      `${path} cannot be opened for writing (${code}); run this as root`,
      options,
    );
  return new ThinError('io', `${path} cannot be opened: ${String(error)}`, options);
}
