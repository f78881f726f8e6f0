import { ThinError, toThinError } from '../../errors/thin-error.js';
import { DiskPart, type DiskReader } from '../disk-reader.js';
import { describeContent } from './disk-content.js';
import { readMetadataText } from './metadata-area.js';
import { readPartitions } from './partitions.js';
import { readPvLabel, type PvLabel } from './pv-label.js';
import { parseVolumeGroup, type PhysicalVolume, type VolumeGroup } from './volume-group.js';
import type { GroupDisks, NotThere } from './volume-map.js';

/** A group of volumes with the disks of it that are there. */
export interface LvmGroup {
  readonly group: VolumeGroup;
  readonly disks: GroupDisks;
}

export interface LvmFound {
  readonly groups: readonly LvmGroup[];
  /**
   * What is not as it should be and does not keep the rest from being read: a damaged copy, a missing disk.
   */
  readonly problems: readonly string[];
}

interface Found {
  readonly disk: DiskReader;
  readonly label: PvLabel;
  readonly group: VolumeGroup | undefined;
}

/**
 * The groups on disks, partitions and images. Of several copies of a group's text the one that was written
 * last counts. Errors: invalid-argument (a disk without LVM, a disk given twice), unsupported (an encrypted
 * one), damaged (a group without a sound text).
 */
export function readLvmGroups(disks: readonly DiskReader[]): LvmFound {
  const problems: string[] = [];
  const found = disks.flatMap((disk) => physicalVolumesOn(disk, problems));
  requireDistinct(found);
  const newest = new Map<string, VolumeGroup>();
  for (const { group } of found)
    if (group !== undefined && group.sequence > (newest.get(group.id)?.sequence ?? -1))
      newest.set(group.id, group);
  const groups = [...newest.values()].map((group) => ({ group, disks: disksOf(group, found, problems) }));
  const known = new Set(groups.flatMap(({ group }) => [...group.physical.values()].map(({ id }) => id)));
  for (const { label, disk } of found)
    if (!known.has(label.id))
      problems.push(`${disk.path} is a disk of LVM, and no group that was read has it`);
  if (groups.length === 0)
    throw new ThinError(
      'damaged',
      `no sound description of a group is on ${disks.map(({ path }) => path).join(', ')}${problems.map((text) => `; ${text}`).join('')}; an older one may be found with: pvck --dump metadata_search`,
    );
  return { groups, problems };
}

/** On the disk itself, or in its partitions. */
function physicalVolumesOn(disk: DiskReader, problems: string[]): readonly Found[] {
  const whole = physicalVolume(disk, problems);
  if (whole !== undefined) return [whole];
  const parts = readPartitions(disk).map(
    ({ number, begin, size }) => new DiskPart(disk, begin, size, `${disk.path} (partition ${number})`),
  );
  const found = parts.map((part) => physicalVolume(part, problems)).filter((volume) => volume !== undefined);
  if (found.length > 0) return found;
  const contents = [disk, ...parts].map((part) => describeContent(part)).filter((text) => text !== undefined);
  const encrypted = contents.find(({ encrypted }) => encrypted);
  if (encrypted !== undefined)
    throw new ThinError(
      'unsupported',
      `${encrypted.text}; open it with cryptsetup, and give what it makes in /dev/mapper`,
      { details: { path: disk.path } },
    );
  throw new ThinError(
    'invalid-argument',
    `${disk.path} has no physical volume of LVM, itself or in ${parts.length === 0 ? 'a partition (it has none)' : `its ${parts.length} partitions`}${contents.map(({ text }) => `; ${text}`).join('')}; give a disk with LVM, a /var/lib/docker/devicemapper, or --metadata and --data`,
    { details: { path: disk.path } },
  );
}

function physicalVolume(disk: DiskReader, problems: string[]): Found | undefined {
  const label = readPvLabel(disk);
  if (label === undefined) return undefined;
  let newest: VolumeGroup | undefined;
  for (const area of label.metadataAreas) {
    try {
      const text = readMetadataText(disk, area);
      if (text === undefined) continue;
      const group = parseVolumeGroup(text, `LVM metadata of ${disk.path}`);
      if (newest === undefined || group.sequence > newest.sequence) newest = group;
    } catch (thrown) {
      const error = toThinError(thrown);
      if (error.code !== 'damaged') throw error;
      problems.push(error.message);
    }
  }
  return { disk, label, group: newest };
}

function requireDistinct(found: readonly Found[]): void {
  const seen = new Map<string, DiskReader>();
  for (const { label, disk } of found) {
    const other = seen.get(label.id);
    if (other !== undefined)
      throw new ThinError(
        'invalid-argument',
        `${other.path} and ${disk.path} are the same disk of LVM (${label.id}), or a copy of it; give one of them`,
      );
    seen.set(label.id, disk);
  }
}

function disksOf(group: VolumeGroup, found: readonly Found[], problems: string[]): GroupDisks {
  const disks = new Map<string, DiskReader | NotThere>();
  for (const physical of group.physical.values()) {
    const there = found.find(({ label }) => label.id === physical.id);
    if (there !== undefined && !physical.missing) {
      disks.set(physical.name, there.disk);
      continue;
    }
    const problem = missing(group, physical, there?.disk.path);
    problems.push(problem);
    disks.set(physical.name, { problem });
  }
  return disks;
}

function missing(
  group: VolumeGroup,
  { name, id, device }: PhysicalVolume,
  stale: string | undefined,
): string {
  if (stale !== undefined)
    return `the group ${group.name} was changed without ${stale} (${name}), so the content of that disk is out of date`;
  const seen = device === undefined ? '' : `, last seen as ${device}`;
  return `the disk ${name} of the group ${group.name} was not given (${id}${seen})`;
}
