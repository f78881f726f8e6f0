import { ThinError } from '../errors/thin-error.js';
import { MAX_BLOCK_SIZE, MIN_BLOCK_SIZE, SECTOR_SIZE } from './defaults.js';
import { formatBinarySize, parseSize } from './sizes.js';

/** Bytes. mkfs.xfs refuses less (xfsprogs 5.19); mkfs.ext4 makes no journal in less. */
export const MIN_FILESYSTEM_SIZE = { xfs: 300 * 2 ** 20, ext4: 8 * 2 ** 20 } as const;

/** Bytes of chunks in memory: what one typed array of Node.js 20 holds. */
export const MAX_CACHE_SIZE = 4 * 2 ** 30;

/** @throws ThinError invalid-argument: no size, zero, more than can be */
export function parseCacheSize(text: string, what: string): number {
  const bytes = parseDeviceSize(text, what);
  if (bytes > MAX_CACHE_SIZE)
    throw new ThinError(
      'invalid-argument',
      `${what}: ${text} is more than ${formatBinarySize(MAX_CACHE_SIZE)}, which is the most`,
    );
  return bytes;
}

/**
 * The size of a chunk, in bytes.
 * @param what names its source in the error, such as `--block-size`
 * @throws ThinError invalid-argument: no size, below 64K, above 1G, no multiple of 64K
 */
export function parseBlockSize(text: string, what = 'dm.blocksize'): number {
  const bytes = parseSize(text, what);
  if (bytes < MIN_BLOCK_SIZE || bytes > MAX_BLOCK_SIZE || bytes % MIN_BLOCK_SIZE !== 0)
    throw new ThinError(
      'invalid-argument',
      `${what}: a block size of ${text} is not possible; it is a multiple of ${formatBinarySize(MIN_BLOCK_SIZE)}, from ${formatBinarySize(MIN_BLOCK_SIZE)} to ${formatBinarySize(MAX_BLOCK_SIZE)}`,
    );
  return bytes;
}

/**
 * The size of a device or of a pool's space, in bytes.
 * @throws ThinError invalid-argument: no size, zero, no whole number of 512-byte sectors
 */
export function parseDeviceSize(text: string, what: string): number {
  const bytes = parseSize(text, what);
  if (bytes === 0)
    throw new ThinError(
      'invalid-argument',
      `${what}: nothing has a size of ${text}; the default is to leave it out`,
    );
  if (bytes % SECTOR_SIZE !== 0)
    throw new ThinError(
      'invalid-argument',
      `${what}: ${text} is ${bytes} bytes, not a whole number of ${SECTOR_SIZE}-byte sectors; write it as 10G or 512M`,
    );
  return bytes;
}
