import type { Compression, PoolOptions } from '../config/pool-options.js';
import { ThinError } from '../errors/thin-error.js';
import type { Superblock } from '../format/superblock.js';

/**
 * The superblock says that values may be packed before the first one is, so that programs of before refuse
 * the pool.
 */
export function needsPackedFlag(superblock: Superblock, { compression }: PoolOptions): boolean {
  return superblock.kind === 'leveldb' && compression !== 'off' && superblock.hasPacked !== true;
}

export function withPackedFlag(superblock: Superblock, options: PoolOptions): Superblock {
  return needsPackedFlag(superblock, options) ? { ...superblock, hasPacked: true } : superblock;
}

/** @throws ThinError invalid-argument */
export function requirePackable({ kind }: Pick<Superblock, 'kind'>, compression: Compression = 'off'): void {
  if (kind === 'direct' && compression !== 'off')
    throw new ThinError(
      'invalid-argument',
      `compression ${compression}: a direct pool does not compress its chunks; leave it out`,
    );
}

/** @throws ThinError invalid-argument */
export function requireCache({ kind }: Pick<Superblock, 'kind'>, cacheSize = 0): void {
  if (kind === 'direct' && cacheSize !== 0)
    throw new ThinError(
      'invalid-argument',
      'cache_size: a direct pool keeps no chunks in memory, because the page cache has them; leave it out',
    );
}
