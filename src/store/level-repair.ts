import { join } from 'node:path';
import { damagedFiles } from './level-check.js';
import { classifyFolder } from './level-folder.js';
import { openSalvage, type SalvageReader } from './level-salvage.js';
import { lockedError } from './level-store.js';
import { findLockHolder } from './lock-holder.js';
import { olderThanMark, type OlderStore } from './marked-store.js';
import { openPoolStore } from './pool-store.js';

/** What can be read of a pool's store, whatever is wrong with it. */
export type RepairReader = SalvageReader & {
  /** The acknowledged commits that it lacks; undefined: none, or unknown. */
  readonly older: OlderStore | undefined;
};

/**
 * Opens a pool's store that may be damaged, to be read. All its files are read once; LevelDB opens it only
 * where nothing is wrong with them.
 * @throws ThinError locked, no-pool, permission, io
 */
export async function openToRepair(path: string): Promise<RepairReader> {
  const holder = await findLockHolder(join(path, 'LOCK'));
  if (holder !== undefined) throw lockedError(path, holder);
  const folder = await classifyFolder(path);
  if (folder === 'headless') return salvage(path);
  if (folder === 'store') for await (const _damage of damagedFiles(path, 'all')) return salvage(path);
  const store = await openPoolStore(path, { acceptOlder: true });
  return Object.assign(store, { lost: [], isLost: () => false });
}

async function salvage(path: string): Promise<RepairReader> {
  const reader = await openSalvage(path);
  return Object.assign(reader, { older: await olderThanMark(reader, path) });
}
