import { realpath, stat } from 'node:fs/promises';
import type { RootLayout } from '../config/root-layout.js';
import { freeAt } from '../host/folder-disk.js';
import type { PoolInfo } from '../pool/info.js';
import { dataLink } from './pool-folder.js';

/** Where a pool's data lies on the host. */
export interface DataPlace {
  /** Absolute: a block device, a file, or the LevelDB folder. */
  readonly path: string;
  readonly kind: 'disk' | 'file' | 'leveldb';
  /**
   * Bytes that the host's filesystem can still give it, with those that it has given and the pool does not
   * use. Undefined of a disk, which is the pool's alone.
   */
  readonly hostFree: number | undefined;
}

/**
 * Where the data of `info`'s pool is, which may be missing: a disk that is not there is told as the link to
 * it.
 */
export async function dataPlace(
  layout: RootLayout,
  { kind, dataUsed }: Pick<PoolInfo, 'kind' | 'dataUsed'>,
): Promise<DataPlace> {
  if (kind === 'leveldb') return { path: layout.pool, kind, hostFree: freeAt(layout.pool) };
  const link = dataLink(layout.pool);
  const path = await realpath(link).catch(() => link);
  const found = await stat(path).catch(() => undefined);
  if (found?.isFile() !== true) return { path, kind: 'disk', hostFree: undefined };
  return { path, kind: 'file', hostFree: freeAt(path) + Math.max(0, found.blocks * 512 - dataUsed) };
}

/** Bytes that the pool can still hand out: what it has free, and no more than its disk has. */
export function dataAvailable(
  { dataTotal, dataUsed }: Pick<PoolInfo, 'dataTotal' | 'dataUsed'>,
  { hostFree }: DataPlace,
): number {
  return Math.max(0, Math.min(dataTotal - dataUsed, hostFree ?? Infinity));
}
