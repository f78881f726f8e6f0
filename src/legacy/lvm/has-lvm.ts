import { DiskPart, type DiskReader } from '../disk-reader.js';
import { readPartitions } from './partitions.js';
import { readPvLabel } from './pv-label.js';

/** On the disk itself, or in one of its partitions. */
export function hasLvm(disk: DiskReader): boolean {
  const parts = readPartitions(disk).map(({ begin, size }) => new DiskPart(disk, begin, size, disk.path));
  return [disk, ...parts].some((one) => readPvLabel(one) !== undefined);
}
