import { openLevelStore, type LevelStoreOptions } from './level-store.js';
import { MarkedStore, type MarkOptions } from './marked-store.js';
import { RecoverableStore } from './recoverable-store.js';

/** The store of a pool that is there. Errors: as `openLevelStore` and `MarkedStore`. */
export async function openPoolStore(
  folder: string,
  options: MarkOptions & Pick<LevelStoreOptions, 'tuning' | 'verify'> = {},
): Promise<MarkedStore> {
  return MarkedStore.over(await RecoverableStore.open(folder, options), folder, options);
}

/** A new one, empty, for a pool. Errors: as `openLevelStore`. */
export async function makePoolStore(folder: string): Promise<MarkedStore> {
  const store = await openLevelStore(folder, { createIfMissing: true, errorIfExists: true });
  return MarkedStore.over(store, folder);
}
