import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { systemErrorCode, ThinError } from '../errors/thin-error.js';

/** The data of a `direct` pool, open. */
export interface DataFile {
  readonly handle: FileHandle;
  /** Bytes, labels included. */
  readonly size: number;
  readonly isBlockDevice: boolean;
}

/**
 * Opens a file or block device for a pool's data. A block device is opened exclusively, as mount(2) does it:
 * a device that is mounted or belongs to another pool is refused, and no other process can mount it
 * meanwhile.
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
    if (stat.isBlockDevice()) {
      await handle.close();
      handle = await open(path, constants.O_RDWR | constants.O_EXCL);
    }
    return await openedFile(handle);
  } catch (error) {
    await handle?.close();
    throw openError(path, error);
  }
}

/** Of a file or block device that is open already. */
export async function openedFile(handle: FileHandle): Promise<DataFile> {
  const stat = await handle.stat();
  const isBlockDevice = stat.isBlockDevice();
  return { handle, size: isBlockDevice ? await sizeOfDevice(handle) : stat.size, isBlockDevice };
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
