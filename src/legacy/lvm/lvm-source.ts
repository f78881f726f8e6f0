import { ThinError, toThinError } from '../../errors/thin-error.js';
import { DiskBlocks } from '../disk-blocks.js';
import type { DiskReader } from '../disk-reader.js';
import type { DockerDevice } from '../docker-graph.js';
import { LegacyPool } from '../legacy-pool.js';
import { nameDevices, type ThinVolume } from '../named-devices.js';
import type { OldPool, PlainVolume } from '../old-source.js';
import type { PoolOverrides } from '../superblock-overrides.js';
import type { LvmGroup } from './lvm-groups.js';
import { VolumeDisk } from './volume-disk.js';
import type { LogicalVolume, Segment, VolumeGroup } from './volume-group.js';
import { unreadableVolume, VolumeMap } from './volume-map.js';

type ThinPoolSegment = Extract<Segment, { readonly type: 'thin-pool' }>;

interface LvmVolumes {
  readonly pools: readonly OldPool[];
  readonly volumes: readonly PlainVolume[];
  readonly broken: readonly { readonly path: string; readonly error: ThinError }[];
  /** Thin volumes that LVM has and their pool has not. */
  readonly problems: readonly string[];
}

interface LvmOptions {
  readonly heldRoot: boolean;
  readonly search: boolean;
  readonly docker: readonly DockerDevice[];
  readonly overrides: PoolOverrides;
}

/**
 * Thin pools, thin volumes and ordinary ones of groups. What cannot be read is kept with its reason: it does
 * not keep the rest from being read.
 */
export function volumesOf(groups: readonly LvmGroup[], options: LvmOptions): LvmVolumes {
  const pools: OldPool[] = [];
  const broken: { path: string; error: ThinError }[] = [];
  const problems: string[] = [];
  for (const one of groups)
    for (const volume of one.group.logical.values()) {
      const [segment] = volume.segments;
      if (segment?.type !== 'thin-pool') continue;
      const path = `${one.group.name}/${volume.name}`;
      try {
        pools.push(openPool(one, path, segment, volume.name, options, problems));
      } catch (thrown) {
        broken.push({ path, error: toThinError(thrown) });
      }
    }
  return {
    pools: giveDocker(pools, options.docker),
    volumes: groups.flatMap((one) => plainVolumes(one)),
    broken,
    problems,
  };
}

/** The volume of that name as a disk. Errors: not-found, unsupported, damaged. */
export function diskOf({ group, disks }: LvmGroup, name: string): DiskReader {
  const volume = group.logical.get(name);
  if (volume === undefined) throw new ThinError('not-found', `the group ${group.name} has no volume ${name}`);
  return new VolumeDisk(`${group.name}/${name}`, new VolumeMap(group, disks, volume));
}

function openPool(
  one: LvmGroup,
  path: string,
  segment: ThinPoolSegment,
  name: string,
  { heldRoot, search, overrides }: LvmOptions,
  problems: string[],
): OldPool {
  const metadata = new DiskBlocks(diskOf(one, segment.metadata));
  const data = diskOf(one, segment.data);
  const pool = LegacyPool.open(metadata, {
    heldRoot,
    search,
    overrides: {
      ...overrides,
      fallback: { blockSize: segment.chunkSize, dataBytes: data.size },
    },
  });
  const volumes = thinVolumes(one.group, name);
  const devices = nameDevices(pool.devices, [], volumes);
  const there = new Set(devices.map(({ device }) => device.id));
  for (const { deviceId, name: volume } of volumes)
    if (!there.has(deviceId))
      problems.push(
        `LVM has the volume ${one.group.name}/${volume}, and ${path} has no device ${deviceId} for it`,
      );
  return { path, pool, data, docker: [], devices, knowsOrigins: true };
}

function thinVolumes(group: VolumeGroup, pool: string): readonly ThinVolume[] {
  return [...group.logical.values()].flatMap((volume) => {
    const [segment] = volume.segments;
    if (segment?.type !== 'thin' || segment.pool !== pool) return [];
    const { deviceId, origin, externalOrigin } = segment;
    return [
      {
        deviceId,
        name: volume.name,
        group: group.name,
        size: volume.extents * group.extentSize,
        origin,
        externalOrigin,
      },
    ];
  });
}

/** Docker had one pool: the one that has most of the devices that it knows. */
function giveDocker(pools: readonly OldPool[], docker: readonly DockerDevice[]): readonly OldPool[] {
  const ids = new Set(docker.map(({ id }) => id));
  const known = ({ devices }: OldPool): number => devices.filter(({ device }) => ids.has(device.id)).length;
  const [its] = [...pools].sort((a, b) => known(b) - known(a));
  if (docker.length === 0 || its === undefined) return pools;
  return pools.map((one) =>
    one === its ? { ...one, docker, devices: nameDevices(one.pool.devices, docker, volumesIn(one)) } : one,
  );
}

function volumesIn({ devices }: OldPool): readonly ThinVolume[] {
  return devices.map(({ volume }) => volume).filter((volume) => volume !== undefined);
}

/** What LVM shows and is neither pool nor thin device. */
function plainVolumes(one: LvmGroup): readonly PlainVolume[] {
  const { group } = one;
  const stores = copyOnWriteStores(group);
  return [...group.logical.values()]
    .filter(
      ({ visible, segments: [first] }) => visible && first?.type !== 'thin-pool' && first?.type !== 'thin',
    )
    .map((volume) => {
      const plain = { name: volume.name, group: group.name };
      try {
        // It holds the changed blocks and where they belong, and not the volume that LVM shows under its
        // name.
        if (stores.has(volume.name)) throw unreadableVolume(group, volume, 'snapshot');
        return { ...plain, disk: diskOf(one, volume.name), problem: undefined };
      } catch (thrown) {
        return { ...plain, disk: undefined, problem: toThinError(thrown) };
      }
    });
}

function copyOnWriteStores(group: VolumeGroup): ReadonlySet<string> {
  return new Set(
    [...group.logical.values()]
      .flatMap(({ segments }: LogicalVolume) => segments)
      .flatMap((segment) =>
        segment.type === 'other' && segment.name === 'snapshot' ? segment.cowStores : [],
      ),
  );
}
