import { existsSync } from 'node:fs';
import { copyFile, mkdtemp, readdir, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openLevelStore, type LevelStore, type LevelStoreOptions } from './level-store.js';

const MEMORY = '/dev/shm';
const NAME = /^thinfuse-store-(\d+)-/;

export interface StandIn {
  readonly store: LevelStore;
  /** Closes it and leaves nothing of it. */
  readonly end: () => Promise<void>;
}

/**
 * A store to read from in place of one that is closed and finds no room to be opened: LevelDB writes when it
 * opens. Its tables are links to those of `folder`, where nothing changes meanwhile; the rest, which is at
 * most what a log has twice, is in memory. Errors: as `openLevelStore`; the file system's.
 */
export async function openStandIn(folder: string, options: LevelStoreOptions): Promise<StandIn> {
  const above = existsSync(MEMORY) ? MEMORY : tmpdir();
  await sweep(above);
  const place = await mkdtemp(path.join(above, `thinfuse-store-${process.pid}-`));
  const leave = (): Promise<void> => rm(place, { recursive: true, force: true });
  try {
    for (const name of await readdir(folder)) {
      const from = path.resolve(folder, name);
      if (/^\d+\.(ldb|sst)$/.test(name)) await symlink(from, path.join(place, name));
      else if (/^(CURRENT|MANIFEST-\d+|\d+\.log)$/.test(name)) await copyFile(from, path.join(place, name));
    }
    const store = await openLevelStore(place, options);
    const end = (): Promise<void> => store.close().finally(leave);
    return { store, end };
  } catch (error) {
    await leave();
    throw error;
  }
}

/** What processes left that were killed. */
async function sweep(above: string): Promise<void> {
  for (const name of await readdir(above)) {
    const pid = NAME.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`))
      await rm(path.join(above, name), { recursive: true, force: true });
  }
}
