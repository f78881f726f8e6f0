import { readlink, realpath } from 'node:fs/promises';
import { ThinError } from '../errors/thin-error.js';
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
  try {
    return { path: target, ...(await openPoolData(target, superblock)) };
  } catch (error) {
    throw withLink(error, link);
  }
}

/** A disk may have another name after a reboot. */
function withLink(error: unknown, link: string): unknown {
  if (!(error instanceof ThinError) || !['damaged', 'not-found', 'busy'].includes(error.code)) return error;
  return new ThinError(
    error.code,
    `${error.message}; if it has another name now: ln -sfn NAME ${link} (its label says whether it is the right one)`,
    { cause: error, details: { ...error.details } },
  );
}
