import path from 'node:path';
import { DEFAULT_POOL_OPTIONS } from '../../src/config/defaults.js';
import { createPoolIn, prepareDataFor } from '../../src/daemon/composition.js';
import { prepareRoot } from '../../src/daemon/init-root.js';
import { rootLayout } from '../../src/daemon/root-layout.js';
import { readSuperblock } from '../../src/metadata/open-metadata.js';
import { openPool } from '../../src/pool/pool.js';
import type { ThinPool } from '../../src/pool/thin-pool.js';
import { openPoolData } from '../../src/store/data-file.js';
import { openLevelStore } from '../../src/store/level-store.js';
import { BLOCK } from './small-pool.js';

const DATA_SIZE = 64 * 2 ** 20;

/** A `direct` pool with a base device of 64 blocks and no filesystem on it; its data is a sparse file. */
export async function makeDirectPool(root: string, data: string): Promise<void> {
  const layout = rootLayout(root);
  await prepareRoot(layout);
  const blockSize = BLOCK;
  const prepared = await prepareDataFor({
    path: data,
    blockSize,
    dataSize: DATA_SIZE,
    defaultSize: DATA_SIZE,
    force: false,
  });
  await createPoolIn(
    layout,
    {
      path: layout.pool,
      blockSize,
      dataSize: DATA_SIZE,
      metadataSize: 2 ** 26,
      options: { ...DEFAULT_POOL_OPTIONS, baseSize: 64 * BLOCK },
    },
    prepared,
  );
}

/** Around the data that its root names. */
export async function openDirectPool(root: string): Promise<ThinPool> {
  const folder = path.join(root, 'devicemapper');
  const store = await openLevelStore(folder);
  try {
    const { handle } = await openPoolData(path.join(folder, 'data'), readSuperblock(store));
    return await openPool(store, { commitInterval: 0, data: { handle } });
  } catch (error) {
    await store.close();
    throw error;
  }
}
