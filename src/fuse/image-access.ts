import { ThinError } from '../errors/thin-error.js';
import type { ImageFile } from '../io/image-file.js';

/**
 * What both transports show of a file or of the folder. Times in Unix milliseconds, `blocks` of 512 bytes.
 */
export interface Attributes {
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly blocks: number;
  readonly blockSize: number;
  readonly modifiedAt: number;
}

const DIRECTORY_MODE = 0o040700;
const FILE_MODE = 0o100600;
const READ_ONLY_FILE_MODE = 0o100400;
/** Tells programs what to read at a time; not a limit. */
const PREFERRED_IO = 128 * 1024;

export function fileAttributes(file: ImageFile): Attributes {
  return {
    mode: file.readOnly ? READ_ONLY_FILE_MODE : FILE_MODE,
    nlink: 1,
    uid: 0,
    gid: 0,
    size: file.size,
    blocks: Math.ceil(file.mappedBytes / 512),
    blockSize: PREFERRED_IO,
    modifiedAt: file.modifiedAt,
  };
}

export function directoryAttributes(modifiedAt: number): Attributes {
  return {
    mode: DIRECTORY_MODE,
    nlink: 2,
    uid: 0,
    gid: 0,
    size: 4096,
    blocks: 0,
    blockSize: 4096,
    modifiedAt,
  };
}

/** Bytes of a read that lie inside the file. */
export function readableLength(file: ImageFile, offset: number, length: number): number {
  return Math.max(0, Math.min(length, file.size - offset));
}

/**
 * @throws ThinError read-only | too-large: a device has a fixed size, so a range past its end is refused
 * whole.
 */
export function requireWritable(name: string, file: ImageFile, offset: number, length: number): void {
  if (file.readOnly)
    throw new ThinError('read-only', `${name} is active read-only; activate it without --ro to write`);
  if (offset + length > file.size)
    throw new ThinError(
      'too-large',
      `${name} ends at byte ${file.size}: a write of ${length} bytes at ${offset} does not fit; grow the device first`,
    );
}

/** Resolves when a change of the file, which may be under way, is durable. */
export async function flushedAfter(change: Promise<void> | undefined, file: ImageFile): Promise<void> {
  await change;
  await file.flush();
}

/** @throws ThinError permission: sizes change through `thinfuse grow`, not through truncate(2). */
export function requireSameSize(name: string, file: ImageFile, size: number): void {
  if (size === file.size) return;
  throw new ThinError(
    'permission',
    `${name} cannot be truncated to ${size} bytes; its size changes with: thinfuse grow ${name} SIZE`,
  );
}

export interface SpaceBlocks {
  readonly blockSize: number;
  readonly total: number;
  readonly free: number;
  /** Inodes that filesystems in this space would have. */
  readonly files: number;
  readonly filesFree: number;
}

/** Bytes for which mke2fs makes an inode. */
const BYTES_PER_INODE = 16384;

/**
 * statfs(2) in the smallest power-of-two block, from 4 KiB, whose count fits 32 bits (libfuse bindings carry
 * no more). A pool counts no inodes, because each of its filesystems has its own. A program that looks at
 * the share of free inodes must not find none.
 */
export function spaceBlocks(space: { readonly total: number; readonly free: number }): SpaceBlocks {
  let blockSize = 4096;
  while (space.total / blockSize >= 2 ** 32) blockSize *= 2;
  const free = Math.min(space.free, space.total);
  return {
    blockSize,
    total: Math.floor(space.total / blockSize),
    free: Math.floor(free / blockSize),
    files: Math.floor(space.total / BYTES_PER_INODE),
    filesFree: Math.floor(free / BYTES_PER_INODE),
  };
}
