import { DEFAULT_DATA_SIZE } from '../config/defaults.js';
import type { RootLayout } from '../config/root-layout.js';
import type { CreatePoolRequest } from '../pool/thin-pool.js';
import { createPoolIn, prepareDataFor } from './composition.js';
import type { PreparedData } from './init-data.js';
import { prepareRoot } from './init-root.js';

/** Sizes in bytes. */
export interface MakePoolRequest extends Pick<CreatePoolRequest, 'blockSize' | 'metadataSize' | 'options'> {
  /** A block device or a file, made where it is not there; undefined: chunks are kept in LevelDB. */
  readonly data: string | undefined;
  /** Data that carries a signature is taken. */
  readonly force: boolean;
  /** What the pool can hold; undefined: what `data` has, or the default. */
  readonly dataSize: number | undefined;
  /** Where the metadata goes, if not into the root. */
  readonly metadataDir?: string | undefined;
}

/**
 * Makes a pool, lets `complete` do what it lacks to be whole, and takes everything back where any of it
 * fails. Until then the root, and the disk, are marked as being made by this process. Errors: as
 * `prepareRoot`, `prepareData`, `createPool` and `complete`.
 */
export async function makePool<T>(
  layout: RootLayout,
  { data: path, force, dataSize, metadataDir, ...request }: MakePoolRequest,
  complete: () => Promise<T>,
): Promise<T> {
  const root = await prepareRoot(layout, { metadataDir });
  let data: PreparedData | undefined;
  try {
    const { blockSize } = request;
    const defaultSize = DEFAULT_DATA_SIZE;
    if (path !== undefined) data = await prepareDataFor({ path, blockSize, dataSize, defaultSize, force });
    const pool = { ...request, path: layout.pool, dataSize: dataSize ?? defaultSize };
    await createPoolIn(layout, pool, data && { prepared: data, maker: root.maker });
    const completed = await complete();
    await data?.finish();
    await root.finish();
    return completed;
  } catch (error) {
    await data?.undo();
    await root.undo();
    throw error;
  }
}
