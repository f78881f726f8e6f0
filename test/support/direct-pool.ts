import { symlink, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { DEFAULT_POOL_OPTIONS } from '../../src/config/defaults.js';
import { createPoolIn, prepareDataFor } from '../../src/daemon/composition.js';
import { dataLink } from '../../src/daemon/pool-folder.js';
import { prepareRoot } from '../../src/daemon/init-root.js';
import { rootLayout } from '../../src/config/root-layout.js';
import { LABEL_BYTES } from '../../src/format/data-label.js';
import { readSuperblock } from '../../src/metadata/open-metadata.js';
import { createPool } from '../../src/pool/create-pool.js';
import { openPool } from '../../src/pool/pool.js';
import type { ThinPool } from '../../src/pool/thin-pool.js';
import { openDataFile } from '../../src/store/data-file.js';
import { writeLabels } from '../../src/store/data-labels.js';
import { openPoolData } from '../../src/store/pool-data.js';
import { openLevelStore } from '../../src/store/level-store.js';
import { BLOCK } from './small-pool.js';

const DATA_SIZE = 64 * 2 ** 20;
const REQUEST = {
  blockSize: BLOCK,
  dataSize: DATA_SIZE,
  metadataSize: 2 ** 26,
  options: { ...DEFAULT_POOL_OPTIONS, baseSize: 64 * BLOCK },
};

/** A `direct` pool with a base device of 64 blocks and no filesystem on it; its data is a sparse file. */
export async function makeDirectPool(root: string, data: string): Promise<void> {
  const layout = rootLayout(root);
  const fresh = await prepareRoot(layout);
  const prepared = await prepareDataFor({
    path: data,
    blockSize: BLOCK,
    dataSize: DATA_SIZE,
    defaultSize: DATA_SIZE,
    force: false,
  });
  await createPoolIn(layout, { ...REQUEST, path: layout.pool }, { prepared, maker: fresh.maker });
  await prepared.finish();
  await fresh.finish();
}

/**
 * As `makeDirectPool`, but as pools were before there were margins: chunk 0 at the start of the data, one
 * label at its end.
 */
export async function makeDirectPoolOfBefore(root: string, data: string): Promise<void> {
  const layout = rootLayout(root);
  const fresh = await prepareRoot(layout);
  const store = await openLevelStore(layout.pool, { createIfMissing: true, errorIfExists: true });
  await createPool(store, { ...REQUEST, kind: 'direct', path: layout.pool });
  const { uuid, blockSize, chunks } = readSuperblock(store);
  await store.close();
  await writeFile(data, '');
  await truncate(data, DATA_SIZE + LABEL_BYTES);
  const file = await openDataFile(data);
  await writeLabels(file, { uuid, blockSize, chunks, preallocated: false, start: 0, maker: '' });
  await file.handle.close();
  await symlink(data, dataLink(layout.pool));
  await fresh.finish();
}

/** Around the data that its root names. */
export async function openDirectPool(root: string): Promise<ThinPool> {
  const folder = path.join(root, 'devicemapper');
  const store = await openLevelStore(folder);
  try {
    const { handle, label } = await openPoolData(path.join(folder, 'data'), readSuperblock(store));
    return await openPool(store, { commitInterval: 0, data: { handle, start: label.start } });
  } catch (error) {
    await store.close();
    throw error;
  }
}
