import { DEFAULT_POOL_OPTIONS } from '../config/defaults.js';
import { ThinError } from '../errors/thin-error.js';
import { damage } from '../format/damage.js';
import { foreignOptions, optionsOwner } from '../metadata/agreement.js';
import { putSuperblock } from '../metadata/auto-repair.js';
import type { Metadata } from '../metadata/metadata.js';
import { openMetadata, readSuperblock, type MetadataOptions } from '../metadata/open-metadata.js';
import type { KeyValue } from '../store/key-value.js';
import type { PoolOptions } from './info.js';
import { readOptions } from './options-record.js';

/** What a store holds of a pool. */
export interface StoredPool {
  /**
   * Marked `needsCheck` where something was damaged: then it is there to be read, without what is lost, and
   * must not be changed.
   */
  readonly metadata: Metadata;
  readonly options: PoolOptions;
  readonly damage: readonly ThinError[];
}

/**
 * Opens a pool around what is damaged, as long as the superblock is well, and remembers in it that it was.
 * @throws ThinError no-pool, damaged (the superblock), wrong-version
 */
export async function openStored(store: KeyValue, options: MetadataOptions): Promise<StoredPool> {
  const found: ThinError[] = [];
  const superblock = readSuperblock(store);
  const poolOptions = orDefault(() => {
    const foreign = foreignOptions(superblock, optionsOwner(store));
    if (foreign !== undefined) found.push(damage('superblock', foreign));
    return readOptions(store);
  }, found);
  const metadata = await openMetadata(store, { ...options, onDamage: (error) => found.push(error) });
  if (found.length > 0 && !superblock.needsCheck) {
    // By itself, because a commit would write the totals of what is left.
    await store.batch([putSuperblock({ ...superblock, needsCheck: true })], { sync: true });
  }
  if (found.length > 0) metadata.noteNeedsCheck();
  return { metadata, options: poolOptions, damage: found };
}

function orDefault(read: () => PoolOptions, found: ThinError[]): PoolOptions {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof ThinError) || error.code !== 'damaged') throw error;
    found.push(error);
    return DEFAULT_POOL_OPTIONS;
  }
}
