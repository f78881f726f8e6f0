import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { ThinError } from '../../src/errors/thin-error.js';
import { KernelTransport } from '../../src/fuse/kernel-transport.js';
import type { ImageFile } from '../../src/io/image-file.js';

export interface BadRange {
  readonly begin: number;
  readonly end: number;
}

/**
 * Serves `file` read-only as `folder`/disk, and answers EIO to reads that touch bad ranges, as a disk that
 * fails does. Returns its end.
 */
export async function serveBadSectors(
  folder: string,
  file: string,
  bad: readonly BadRange[],
): Promise<() => Promise<void>> {
  const fd = openSync(file, 'r');
  const { size } = fstatSync(fd);
  const image: ImageFile = {
    size,
    mappedBytes: size,
    modifiedAt: 0,
    readOnly: true,
    read: (offset, into) => {
      if (bad.some(({ begin, end }) => offset < end && offset + into.length > begin))
        return Promise.reject(new ThinError('io', 'a bad sector'));
      readSync(fd, into, 0, into.length, offset);
      return undefined;
    },
    write: () => undefined,
    discard: () => undefined,
    writeZeroes: () => undefined,
    flush: () => Promise.resolve(),
    seek: (offset, what) => Promise.resolve(what === 'hole' ? size : offset),
  };
  const images = {
    names: () => ['disk'],
    lookup: (name: string) => (name === 'disk' ? image : undefined),
    space: () => ({ total: size, free: 0 }),
  };
  const transport = new KernelTransport(folder, images, {});
  await transport.mount();
  return async () => {
    await transport.unmount();
    closeSync(fd);
  };
}
