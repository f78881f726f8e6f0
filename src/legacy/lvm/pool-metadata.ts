import { ThinError } from '../../errors/thin-error.js';
import type { BlockReader } from '../block-reader.js';
import { DiskBlocks } from '../disk-blocks.js';
import type { DiskReader } from '../disk-reader.js';
import { readLvmGroups, type LvmGroup } from './lvm-groups.js';
import { diskOf } from './lvm-source.js';

/**
 * The metadata of a thin pool of the group that lies on disks of LVM. `pool`: which of them, as NAME or
 * GROUP/NAME. Errors: as `readLvmGroups`; not-found (no such pool), invalid-argument (one of several, and
 * none is named).
 */
export function lvmPoolMetadata(disks: readonly DiskReader[], pool?: string): BlockReader {
  const { groups } = readLvmGroups(disks);
  const pools = groups.flatMap((one) =>
    [...one.group.logical.values()].flatMap(({ name, segments: [segment] }) =>
      segment?.type === 'thin-pool' ? [{ one, name, metadata: segment.metadata }] : [],
    ),
  );
  const found = pools.filter(
    ({ one, name }) => pool === undefined || pool === name || pool === fullName(one, name),
  );
  const names = pools.map(({ one, name }) => fullName(one, name)).join(', ');
  const [first, second] = found;
  if (first === undefined)
    throw new ThinError(
      'not-found',
      pools.length === 0
        ? 'no thin pool is on these disks of LVM'
        : `no thin pool ${pool} is on these disks of LVM; there are ${names}`,
    );
  if (second !== undefined)
    throw new ThinError(
      'invalid-argument',
      `several thin pools are on these disks of LVM (${names}); name one with --pool`,
    );
  return new DiskBlocks(diskOf(first.one, first.metadata));
}

function fullName({ group }: LvmGroup, name: string): string {
  return `${group.name}/${name}`;
}
