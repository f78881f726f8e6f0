import { ThinError } from '../errors/thin-error.js';
import { BASE_NAME } from '../format/device-name.js';
import { MAX_CHUNKS, MAX_VIRTUAL_BLOCKS } from '../format/ids.js';
import { putSuperblock } from '../metadata/auto-repair.js';
import { newSuperblock, openMetadata } from '../metadata/open-metadata.js';
import type { KeyValue } from '../store/key-value.js';
import type { PoolOptions } from './info.js';
import { packOptions } from './options-record.js';
import { withPackedFlag } from './packed-flag.js';
import type { CreatePoolRequest } from './thin-pool.js';

/** dm-thin's metadata block, and the most that a sealed node takes. */
export const METADATA_BLOCK_SIZE = 4096;
const MIN_BLOCK_SIZE = 64 * 1024;
const MAX_BLOCK_SIZE = 2 ** 30;

/**
 * Makes an empty store a pool with an empty base device; the store stays open. One batch makes the pool,
 * another its base device.
 * @throws ThinError invalid-argument, too-large, and what the store throws
 */
export async function createPool(store: KeyValue, request: CreatePoolRequest): Promise<void> {
  const { blockSize, dataSize, metadataSize, kind = 'leveldb' } = request;
  const options: PoolOptions =
    kind === 'direct' ? { ...request.options, compression: 'off' } : request.options;
  if (blockSize < MIN_BLOCK_SIZE || blockSize > MAX_BLOCK_SIZE || blockSize % MIN_BLOCK_SIZE !== 0)
    throw new ThinError(
      'invalid-argument',
      `block size ${blockSize} is not allowed: from 64K to 1G, in multiples of 64K`,
    );
  const chunks = Math.floor(dataSize / blockSize);
  if (chunks < 1)
    throw new ThinError(
      'invalid-argument',
      `a data size of ${dataSize} bytes holds no block of ${blockSize}`,
    );
  if (chunks > MAX_CHUNKS)
    throw new ThinError(
      'too-large',
      `a data size of ${dataSize} bytes is too large for blocks of ${blockSize}; use a larger block size`,
    );
  const nodes = Math.min(Math.floor(metadataSize / METADATA_BLOCK_SIZE), 2 ** 32 - 1);
  if (nodes < 64)
    throw new ThinError(
      'invalid-argument',
      `a metadata size of ${metadataSize} bytes is too small; give at least 256K`,
    );
  requireDeviceSize(options.baseSize, blockSize);
  const superblock = withPackedFlag(newSuperblock({ kind, blockSize, chunks, nodes }), options);
  await store.batch([putSuperblock(superblock), packOptions(options, superblock.uuid)], { sync: true });
  const metadata = await openMetadata(store);
  metadata.createThin({
    name: BASE_NAME,
    kind: 'base',
    size: options.baseSize,
    createdAt: Date.now(),
    filesystem: options.filesystem,
  });
  const commit = metadata.collect();
  await store.batch(commit.operations, { sync: true });
  commit.settle();
}

/** @throws ThinError invalid-argument, too-large */
export function requireDeviceSize(size: number, blockSize: number): void {
  if (!Number.isSafeInteger(size) || size <= 0 || size % 512 !== 0)
    throw new ThinError('invalid-argument', `device size ${size} is not a positive multiple of 512 bytes`);
  if (Math.ceil(size / blockSize) > MAX_VIRTUAL_BLOCKS)
    throw new ThinError('too-large', `a device of ${size} bytes has more blocks than the pool can map`);
}
