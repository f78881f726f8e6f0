import { readlink, realpath } from 'node:fs/promises';
import type { Superblock } from '../format/superblock.js';
import { openPoolData, type PoolData } from '../store/pool-data.js';
import { dataLink } from './pool-folder.js';
import type { RootLayout } from '../config/root-layout.js';

/** How findings name the data of a `direct` pool. */
export const DATA_PATH = 'data';

/** The data of this pool. @throws ThinError as `openPoolData` */
export async function openDataOf(
  layout: RootLayout,
  superblock: Superblock,
): Promise<PoolData & { path: string }> {
  const link = dataLink(layout.pool);
  // A link that leads nowhere says best where its target was.
  const target = await realpath(link).catch(() => readlink(link).catch(() => link));
  return { path: target, ...(await openPoolData(target, superblock)) };
}
