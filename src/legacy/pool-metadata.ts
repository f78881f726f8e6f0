import type { BlockReader } from './block-reader.js';
import { DiskBlocks } from './disk-blocks.js';
import type { DiskReader } from './disk-reader.js';
import { hasLvm } from './lvm/has-lvm.js';

/**
 * The metadata of a thin pool: the one disk itself, or what `lvmPoolMetadata` finds. Errors: as that.
 */
export async function poolMetadata(disks: readonly DiskReader[], pool?: string): Promise<BlockReader> {
  const [only, ...others] = disks;
  if (only !== undefined && others.length === 0 && pool === undefined && !hasLvm(only))
    return new DiskBlocks(only);
  // What reads LVM takes as long to load as a small pool to read.
  const { lvmPoolMetadata } = await import('./lvm/pool-metadata.js');
  return lvmPoolMetadata(disks, pool);
}
