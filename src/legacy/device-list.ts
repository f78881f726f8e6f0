import { ThinError } from '../errors/thin-error.js';
import { problemOf, pathOf } from './legacy-damage.js';
import type { Damage } from './legacy-pool.js';
import { lostDataLines, missingData } from './missing-data.js';
import { devicesOf, type OldDevice, type OldSource, type ThinOldDevice } from './old-source.js';
import { openDevice, probe } from './opened-device.js';
import { PlainImage } from './plain-image.js';
import { surveyPool, type PoolSurvey } from './survey.js';

/** Sizes in bytes; undefined is what is not known. */
export interface ListedOldDevice {
  readonly one: OldDevice;
  readonly size: number | undefined;
  readonly filesystem: string | undefined;
  readonly mapped: number | undefined;
  readonly highest: number | undefined;
  readonly damage: readonly Damage[];
  readonly state: 'sound' | 'damaged' | 'unsupported';
  /** Why it cannot be read at all. */
  readonly problem: string | undefined;
}

/** The most findings of one device: a missing disk of a striped volume makes thousands of gaps. */
const SHOWN = 5;

/** The devices of an old pool, and what is damaged in it and, as far as there is not much, in them. */
export async function listDevices(
  source: OldSource,
): Promise<{ readonly devices: readonly ListedOldDevice[]; readonly damage: readonly Damage[] }> {
  const surveys = new Map(source.pools.map(({ pool }) => [pool, surveyPool(pool)]));
  const devices: ListedOldDevice[] = [];
  for (const one of devicesOf(source))
    devices.push(
      one.kind === 'thin' ? await describe(one, surveys.get(one.pool.pool)!) : await describeVolume(one),
    );
  return {
    devices,
    damage: [
      ...[...surveys.values()].flatMap(({ damage }) => damage),
      ...devices.flatMap(({ one, damage }) =>
        firstOf(damage, `${one.kind === 'thin' ? 'device' : 'volume'} ${one.label}`),
      ),
    ],
  };
}

/** What `info` finds in a device, and whether its data is there. */
async function describe(one: ThinOldDevice, survey: PoolSurvey): Promise<ListedOldDevice> {
  const { named, pool: old } = one;
  const { pool, data } = old;
  const { details, tree } = named.device;
  const known = named.volume?.size ?? named.docker?.size;
  const surveyed = survey.devices.get(one.number);
  const damage = [...(surveyed?.damage ?? [])];
  const mapped = details === undefined ? undefined : Number(details.mappedBlocks) * pool.superblock.blockSize;
  let row = {
    size: known,
    filesystem: undefined as string | undefined,
    highest: undefined as number | undefined,
  };
  try {
    const last = surveyed?.last ?? tree?.lastKey() ?? 'none';
    row = {
      ...row,
      highest: tree === undefined ? undefined : last === 'none' ? 0 : (last + 1) * pool.superblock.blockSize,
    };
    if (data !== undefined && tree !== undefined && (row.highest !== 0 || known !== undefined)) {
      const opened = await openDevice(pool, data, named, { skipDamaged: false });
      row = { ...row, size: opened.size, filesystem: opened.filesystem?.type };
      const missing = missingData(pool, data, opened);
      damage.push(...lostDataLines(one.label, missing).map((problem) => ({ path: data.path, problem })));
    }
  } catch (error) {
    if (!(error instanceof ThinError) || error.code !== 'damaged') throw error;
    if (damage.length === 0) damage.push({ path: pathOf(error), problem: problemOf(error) });
  }
  return {
    one,
    ...row,
    mapped,
    damage,
    state: damage.length === 0 && tree !== undefined ? 'sound' : 'damaged',
    problem: undefined,
  };
}

async function describeVolume(one: Extract<OldDevice, { kind: 'plain' }>): Promise<ListedOldDevice> {
  const { disk, problem } = one.volume;
  const nothing = { one, mapped: undefined, highest: undefined };
  if (disk === undefined)
    return {
      ...nothing,
      size: undefined,
      filesystem: undefined,
      damage: [],
      state: problem?.code === 'unsupported' ? 'unsupported' : 'damaged',
      problem: problem?.message,
    };
  const damage = disk.gaps(0, disk.size).map(({ begin, end, problem: why }) => ({
    path: `volume ${one.label}`,
    problem: `bytes ${begin} to ${end - 1} cannot be read: ${why}`,
  }));
  const filesystem = await probe(new PlainImage(disk));
  return {
    ...nothing,
    size: disk.size,
    filesystem: filesystem?.type,
    damage,
    state: damage.length === 0 ? 'sound' : 'damaged',
    problem: undefined,
  };
}

function firstOf(damage: readonly Damage[], path: string): readonly Damage[] {
  if (damage.length <= SHOWN) return damage;
  return [...damage.slice(0, SHOWN), { path, problem: `in ${damage.length - SHOWN} places more` }];
}
