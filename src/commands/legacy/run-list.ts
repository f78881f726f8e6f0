import { formatBinarySize } from '../../config/sizes.js';
import { formatTable } from '../../docker/table.js';
import { ThinError } from '../../errors/thin-error.js';
import { problemOf, pathOf } from '../../legacy/legacy-damage.js';
import type { Damage } from '../../legacy/legacy-pool.js';
import { lostDataLines, missingData } from '../../legacy/missing-data.js';
import { devicesOf, type OldDevice, type ThinOldDevice } from '../../legacy/old-source.js';
import { openDevice, probe } from '../../legacy/opened-device.js';
import { PlainImage } from '../../legacy/plain-image.js';
import { surveyPool, type PoolSurvey } from '../../legacy/survey.js';
import type { Context } from '../context.js';
import { note, printResult } from '../output.js';
import { splitOperands, type SourceFlags } from './flags.js';
import { withSourcePool } from './source.js';

export async function runLegacyList(
  context: Context,
  operands: readonly string[],
  flags: SourceFlags,
): Promise<void> {
  const { paths } = splitOperands(operands, flags, []);
  await withSourcePool(paths, flags, async (source) => {
    const surveys = new Map(source.pools.map(({ pool }) => [pool, surveyPool(pool)]));
    const rows: Row[] = [];
    for (const one of devicesOf(source))
      rows.push(
        one.kind === 'thin' ? await describe(one, surveys.get(one.pool.pool)!) : await describeVolume(one),
      );
    for (const { path: where, problem } of [
      ...[...surveys.values()].flatMap(({ damage }) => damage),
      ...rows.flatMap(({ damage }) => damage),
    ])
      note(`${where} is damaged: ${problem}`);
    for (const { one, problem } of rows) if (problem !== undefined) note(`${one.label}: ${problem}`);
    printResult(context, rows.map(rowJson), table(rows));
  });
}

const NONE = '-';

/** Sizes in bytes; undefined is what is not known. */
interface Row {
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

/** What `info` finds in a device, and whether its data is there. */
async function describe(one: ThinOldDevice, survey: PoolSurvey): Promise<Row> {
  const { named, pool: old } = one;
  const { pool, data } = old;
  const { details, tree } = named.device;
  const known = named.volume?.size ?? named.docker?.size;
  const damage = [...(survey.devices.get(one.number)?.damage ?? [])];
  const mapped = details === undefined ? undefined : Number(details.mappedBlocks) * pool.superblock.blockSize;
  let row = {
    size: known,
    filesystem: undefined as string | undefined,
    highest: undefined as number | undefined,
  };
  try {
    const last = tree?.lastKey();
    row = {
      ...row,
      highest:
        tree === undefined ? undefined : last === undefined ? 0 : (last + 1) * pool.superblock.blockSize,
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

async function describeVolume(one: Extract<OldDevice, { kind: 'plain' }>): Promise<Row> {
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

function table(rows: readonly Row[]): string {
  return formatTable(
    [
      { title: 'ID', right: true },
      { title: 'NAME' },
      { title: 'KIND' },
      { title: 'FSTYPE' },
      { title: 'SIZE', right: true },
      { title: 'MAPPED', right: true },
      { title: 'HIGHEST', right: true },
      { title: 'TRANSACTION', right: true },
      { title: 'CREATED', right: true },
      { title: 'SNAPPED', right: true },
      { title: 'STATE' },
    ],
    rows.map(({ one, size, filesystem, mapped, highest, state }) => {
      const details = one.kind === 'thin' ? one.named.device.details : undefined;
      return [
        one.kind === 'thin' ? String(one.number) : NONE,
        one.label,
        one.role,
        filesystem ?? NONE,
        bytes(size),
        bytes(mapped),
        bytes(highest),
        details === undefined ? NONE : String(details.transactionId),
        details === undefined ? NONE : String(details.creationTime),
        details === undefined ? NONE : String(details.snapTime),
        state,
      ];
    }),
  );
}

function bytes(size: number | undefined): string {
  return size === undefined ? NONE : formatBinarySize(size);
}

function rowJson({
  one,
  size,
  filesystem,
  mapped,
  highest,
  state,
  problem,
}: Row): Readonly<Record<string, unknown>> {
  const common = { name: one.label, kind: one.role, filesystem, size, damaged: state === 'damaged', state };
  if (one.kind === 'plain') return { ...common, group: one.volume.group, problem };
  const { device, docker, volume } = one.named;
  return {
    id: device.id,
    ...common,
    names: docker?.names ?? [],
    hash: docker?.hash,
    parent: docker?.parent,
    group: volume?.group,
    pool: one.pool.path,
    origin: volume?.origin,
    externalOrigin: volume?.externalOrigin,
    mapped,
    highestMapped: highest,
    transactionId: exact(device.details?.transactionId),
    creationTime: device.details?.creationTime,
    snapTime: device.details?.snapTime,
  };
}

/** A number; text where no number holds it, which only a made-up pool has. */
export function exact(value: bigint | undefined): number | string | undefined {
  if (value === undefined) return undefined;
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : String(value);
}
