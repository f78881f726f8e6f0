import { DEFAULT_POOL_OPTIONS } from '../../src/config/defaults.js';
import { createPoolIn } from '../../src/daemon/composition.js';
import { prepareRoot } from '../../src/daemon/init-root.js';
import { rootLayout } from '../../src/config/root-layout.js';
import { BASE_NAME } from '../../src/format/device-name.js';
import { openPool } from '../../src/pool/pool.js';
import { openLevelStore } from '../../src/store/level-store.js';

/**
 * What `init` makes, but for the filesystem, so that tests of what needs none run where nothing can be
 * mounted.
 */
export async function makeBarePool(root: string): Promise<void> {
  const layout = rootLayout(root);
  const fresh = await prepareRoot(layout);
  await createPoolIn(layout, {
    path: layout.pool,
    blockSize: 65536,
    dataSize: 2 ** 30,
    metadataSize: 2 ** 26,
    options: { ...DEFAULT_POOL_OPTIONS, baseSize: 512 * 2 ** 20 },
  });
  const pool = await openPool(await openLevelStore(layout.pool));
  await pool.update(BASE_NAME, { initialized: true, filesystemSize: 512 * 2 ** 20 });
  await pool.close();
  await fresh.finish();
}
