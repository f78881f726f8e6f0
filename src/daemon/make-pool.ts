import type { CreatePoolRequest } from '../pool/thin-pool.js';
import { createPoolIn, prepareDataFor } from './composition.js';
import type { DataRequest, PreparedData } from './init-data.js';
import { prepareRoot } from './init-root.js';
import type { RootLayout } from '../config/root-layout.js';

export interface MakePoolRequest {
  readonly pool: CreatePoolRequest;
  /** Undefined: chunks are kept in LevelDB. */
  readonly data: DataRequest | undefined;
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
  { pool, data: asked, metadataDir }: MakePoolRequest,
  complete: () => Promise<T>,
): Promise<T> {
  const root = await prepareRoot(layout, { metadataDir });
  let data: PreparedData | undefined;
  try {
    if (asked !== undefined) data = await prepareDataFor(asked);
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
