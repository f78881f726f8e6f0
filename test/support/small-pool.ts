import { createPool } from '../../src/pool/create-pool.js';
import type { PoolKind, PoolOptions } from '../../src/pool/info.js';
import type { OpenPoolOptions } from '../../src/pool/open-options.js';
import { openPool } from '../../src/pool/pool.js';
import type { ThinPool } from '../../src/pool/thin-pool.js';
import type { KeyValue } from '../../src/store/key-value.js';

export const BLOCK = 64 * 1024;

export const TEST_OPTIONS: PoolOptions = {
  filesystem: 'xfs',
  mkfsArgs: [],
  mountOptions: '',
  baseSize: 12 * BLOCK,
  minFreeSpace: 0,
  deferredRemoval: true,
  deferredDeletion: true,
  xfsNospaceMaxRetries: 0,
  errorIfNoSpace: true,
  noSpaceTimeout: 60,
  originTimeout: 60,
  autoextendThreshold: 100,
  lowWater: 0,
  metadataLowWater: 0,
  compression: 'lz4',
  cacheSize: 0,
  autoextendPercent: 20,
};

/**
 * A pool of few blocks whose commits come only when they are asked for. Nodes keep their full size unless
 * told otherwise.
 */
export async function makeSmallPool(
  store: KeyValue,
  shape: {
    kind?: PoolKind;
    blocks?: number;
    options?: Partial<PoolOptions>;
    open?: OpenPoolOptions;
  } = {},
): Promise<ThinPool> {
  await createPool(store, {
    path: 'memory',
    kind: shape.kind ?? 'leveldb',
    blockSize: BLOCK,
    dataSize: (shape.blocks ?? 4096) * BLOCK,
    metadataSize: 64 * 2 ** 20,
    options: { ...TEST_OPTIONS, ...shape.options },
  });
  return openPool(store, { commitInterval: 0, ...shape.open });
}
