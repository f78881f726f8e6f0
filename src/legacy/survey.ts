import { toThinError } from '../errors/thin-error.js';
import { recordDoubts } from './device-damage.js';
import { problemOf } from './legacy-damage.js';
import { LegacyPool, type Damage, type LegacyDevice } from './legacy-pool.js';
import { describeLost } from './lost-ranges.js';
import { MappingCensus, type DeviceCensus } from './mapping-census.js';
import type { OldPool, OldSource } from './old-source.js';
import { checkSpaceMaps } from './space-maps.js';

/** All that is wrong in a pool's metadata. */
export interface PoolSurvey {
  /** Of the pool and of no device alone. */
  readonly damage: readonly Damage[];
  /** By device id; those without any, too. */
  readonly devices: ReadonlyMap<
    number,
    { readonly damage: readonly Damage[]; readonly last: DeviceCensus['last'] }
  >;
  /** Of all devices, and of those of the metadata snapshot. */
  readonly census: MappingCensus;
}

/**
 * Walks everything in the metadata, as thin_check does, and collects what is wrong. What devices share is
 * walked once. `window`: data blocks that are counted at once.
 */
export function surveyPool(pool: LegacyPool, { window }: { readonly window?: number } = {}): PoolSurvey {
  const census = new MappingCensus(pool.nodes, pool.dataBlocks, window);
  const devices = new Map(pool.devices.map((device) => [device.id, surveyDevice(device, pool, census)]));
  const snapshot = snapshotDamage(pool, census);
  const isWhole = pool.damage.length === 0 && snapshot.length === 0 && census.isWhole;
  return {
    damage: [
      ...pool.damage,
      ...snapshot,
      ...(pool.hasSpaceMaps ? checkSpaceMaps(pool, isWhole ? census : undefined) : []),
    ],
    devices,
    census,
  };
}

/** What is wrong in all that a user named. */
export interface SourceSurvey {
  readonly pools: readonly { readonly pool: OldPool; readonly damage: readonly Damage[] }[];
  /** Ordinary volumes that cannot be read. */
  readonly missing: readonly Damage[];
  /** Pools that cannot be opened. */
  readonly broken: readonly Damage[];
}

export function surveySource({ pools, volumes, broken }: OldSource): SourceSurvey {
  return {
    pools: pools.map((pool) => ({ pool, damage: [...surveyDamage(pool.pool), ...dataDamage(pool)] })),
    missing: volumes.flatMap(({ name, disk, problem }) =>
      disk === undefined && problem?.code === 'damaged' ? [{ path: name, problem: problem.message }] : [],
    ),
    broken: broken.map(({ path, error }) => ({ path, problem: error.message })),
  };
}

/** Data that ends too early or has a part missing is damage, too, though the metadata is sound. */
function dataDamage({ pool, data }: OldPool): readonly Damage[] {
  const expected = pool.dataBlocks * pool.superblock.blockSize;
  if (data === undefined) return [];
  if (data.size < expected)
    return [{ path: data.path, problem: `it has ${data.size} bytes, and the pool ${expected} of data` }];
  return data.gaps(0, expected).map(({ begin, end, problem }) => ({
    path: data.path,
    problem: `bytes ${begin} to ${end - 1} cannot be read: ${problem}`,
  }));
}

export function surveyDamage(pool: LegacyPool): readonly Damage[] {
  return damageIn(surveyPool(pool));
}

export function damageIn({ damage, devices }: PoolSurvey): readonly Damage[] {
  return [...damage, ...[...devices.values()].flatMap((one) => one.damage)];
}

function surveyDevice(
  device: LegacyDevice,
  pool: LegacyPool,
  census: MappingCensus,
): { readonly damage: readonly Damage[]; readonly last: DeviceCensus['last'] } {
  const { blockSize } = pool.superblock;
  const { mapped, lost, last } = census.device(device);
  const damage = [
    ...lost.map((range) => ({
      path: range.path,
      problem: `${range.problem}; ${describeLost(range, blockSize)} is lost with it`,
    })),
    ...recordDoubts(device, lost.length > 0 ? undefined : mapped),
  ];
  return { damage, last };
}

/**
 * A metadata snapshot has to be as sound as the rest; and where the rest is not, it may have what is lost.
 */
function snapshotDamage(pool: LegacyPool, census: MappingCensus): readonly Damage[] {
  const { heldRoot } = pool.superblock;
  if (!pool.hasSpaceMaps || heldRoot === 0) return [];
  const where = `metadata snapshot at block ${heldRoot}`;
  try {
    const held = LegacyPool.open(pool.nodes.blocks, { heldRoot: true });
    const damage = [
      ...held.damage,
      ...held.devices.flatMap((device) => surveyDevice(device, held, census).damage),
    ];
    if (pool.damage.length > 0 && held.devices.length > 0)
      return [
        {
          path: where,
          problem: `it still has devices ${held.devices.map(({ id }) => id).join(', ')}: see them with --metadata-snap`,
        },
      ];
    return damage.map(({ path, problem }) => ({ path: `${where} / ${path}`, problem }));
  } catch (thrown) {
    const error = toThinError(thrown);
    if (error.code !== 'damaged' && error.code !== 'invalid-argument') throw error;
    return [{ path: where, problem: problemOf(error) }];
  }
}
