import { formatBinarySize } from '../../config/sizes.js';
import { formatTable } from '../../docker/table.js';
import { ThinError } from '../../errors/thin-error.js';
import { pathOf, problemOf } from '../../legacy/legacy-damage.js';
import type { Damage } from '../../legacy/legacy-pool.js';
import type { NamedDevice } from '../../legacy/named-devices.js';
import { openDevice } from '../../legacy/opened-device.js';
import type { Context } from '../context.js';
import { splitOperands, type SourceFlags } from './flags.js';
import { withSourcePool, type LegacySource } from './source.js';
import { note, printResult } from '../output.js';

export async function runLegacyList(
  context: Context,
  operands: readonly string[],
  flags: SourceFlags,
): Promise<void> {
  const { path } = splitOperands(operands, flags, []);
  await withSourcePool(path, flags, async (source) => {
    const rows: Row[] = [];
    for (const named of source.devices) rows.push(await describe(source, named));
    for (const { path: where, problem } of [
      ...source.pool.damage,
      ...rows.flatMap(({ damage }) => damage ?? []),
    ])
      note(`${where} is damaged: ${problem}`);
    printResult(context, rows.map(rowJson), table(rows));
  });
}

const NONE = '-';

/** Sizes in bytes; undefined is what is not known. */
interface Row {
  readonly named: NamedDevice;
  readonly size: number | undefined;
  readonly filesystem: string | undefined;
  readonly mapped: number | undefined;
  readonly highest: number | undefined;
  readonly damage: Damage | undefined;
}

/** Looks at the ends of the device only; damage between them is for `info`. */
async function describe({ pool, data }: LegacySource, named: NamedDevice): Promise<Row> {
  const { blockSize } = pool.superblock;
  const { details, tree } = named.device;
  const mapped = details === undefined ? undefined : Number(details.mappedBlocks) * blockSize;
  try {
    const last = tree?.lastKey();
    const highest = tree === undefined ? undefined : last === undefined ? 0 : (last + 1) * blockSize;
    const opened =
      data === undefined || tree === undefined || (highest === 0 && named.docker?.size === undefined)
        ? undefined
        : await openDevice(pool, data, named, { skipDamaged: false });
    return {
      named,
      size: opened?.size ?? named.docker?.size,
      filesystem: opened?.filesystem?.type,
      mapped,
      highest,
      damage: undefined,
    };
  } catch (error) {
    if (!(error instanceof ThinError) || error.code !== 'damaged') throw error;
    const damage = { path: pathOf(error), problem: problemOf(error) };
    return { named, size: named.docker?.size, filesystem: undefined, mapped, highest: undefined, damage };
  }
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
    rows.map(({ named, size, filesystem, mapped, highest, damage }) => {
      const { details } = named.device;
      return [
        String(named.device.id),
        named.label,
        named.role,
        filesystem ?? NONE,
        bytes(size),
        bytes(mapped),
        bytes(highest),
        details === undefined ? NONE : String(details.transactionId),
        details === undefined ? NONE : String(details.creationTime),
        details === undefined ? NONE : String(details.snapTime),
        damage === undefined && details !== undefined && named.device.tree !== undefined
          ? 'sound'
          : 'damaged',
      ];
    }),
  );
}

function bytes(size: number | undefined): string {
  return size === undefined ? NONE : formatBinarySize(size);
}

function rowJson({
  named,
  size,
  filesystem,
  mapped,
  highest,
  damage,
}: Row): Readonly<Record<string, unknown>> {
  const { device, docker, role, label } = named;
  return {
    id: device.id,
    name: label,
    kind: role,
    names: docker?.names ?? [],
    hash: docker?.hash,
    parent: docker?.parent,
    filesystem,
    size,
    mapped,
    highestMapped: highest,
    transactionId: exact(device.details?.transactionId),
    creationTime: device.details?.creationTime,
    snapTime: device.details?.snapTime,
    damaged: damage !== undefined || device.details === undefined || device.tree === undefined,
  };
}

/** A number; text where no number holds it, which only a made-up pool has. */
export function exact(value: bigint | undefined): number | string | undefined {
  if (value === undefined) return undefined;
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : String(value);
}
