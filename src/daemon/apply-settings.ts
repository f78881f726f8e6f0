import type { PoolOptions } from '../config/pool-options.js';
import { mergePoolOptions, type StorageOptions } from '../config/storage-options.js';
import { ThinError } from '../errors/thin-error.js';
import { BASE_NAME } from '../format/device-name.js';
import { requirePackable } from '../pool/packed-flag.js';
import type { PoolInfo } from '../pool/info.js';
import type { ThinPool } from '../pool/thin-pool.js';

/**
 * What `start` may change of a pool that is there. The base device may grow, as in Docker's driver: devices
 * made from it afterwards have the new size, and their filesystem fills it at the first mount. Errors, with
 * nothing changed: invalid-argument (immutable, or the base would shrink).
 */
export async function applySettings(pool: ThinPool, settings: StorageOptions): Promise<void> {
  const info = pool.info();
  refuseChange('dm.blocksize', settings.blockSize, info.blockSize);
  refuseChange('dm.loopdatasize', settings.dataSize, info.dataTotal);
  refuseChange('dm.loopmetadatasize', settings.metadataSize, info.metadataTotal);
  refuseChange('dm.fs', settings.pool.filesystem, info.baseFilesystem);
  refuseChange('dm.datadev', settings.dataPath, undefined);
  const { baseSize } = settings.pool;
  if (baseSize !== undefined && baseSize < info.baseSize)
    throw new ThinError(
      'invalid-argument',
      `dm.basesize: the base device has ${info.baseSize} bytes and cannot shrink to ${baseSize}`,
    );
  requirePackable(info, settings.pool.compression);
  const merged = mergePoolOptions(ofKind(settings.pool, info.kind), info.options);
  if (baseSize !== undefined && baseSize > info.baseSize) await pool.grow(BASE_NAME, baseSize);
  if (differs(merged, info.options)) await pool.setOptions(merged);
}

/** `start --cache-size` stands in services of pools of either kind. */
function ofKind(change: Partial<PoolOptions>, kind: PoolInfo['kind']): Partial<PoolOptions> {
  return kind === 'direct' ? { ...change, cacheSize: 0 } : change;
}

function refuseChange(
  key: string,
  wanted: number | string | undefined,
  has: number | string | undefined,
): void {
  if (wanted === undefined || wanted === has) return;
  throw new ThinError(
    'invalid-argument',
    `${key} is fixed when the pool is made${has === undefined ? '' : ` (it is ${has})`} and cannot become ${wanted}; leave it out, or make another pool`,
  );
}

function differs(a: PoolOptions, b: PoolOptions): boolean {
  return JSON.stringify(a, Object.keys(a).sort()) !== JSON.stringify(b, Object.keys(a).sort());
}
