import { formatBinarySize } from '../../config/sizes.js';
import { formatTable } from '../../docker/table.js';
import { toThinError, ThinError } from '../../errors/thin-error.js';
import { parseDeviceName } from '../../format/device-name.js';
import { ChildProcessExec } from '../../host/exec.js';
import { summarizeDevice } from '../../legacy/device-summary.js';
import {
  importDevices,
  type ImportBatch,
  type ImportedDevice,
  type NewDevice,
  type VolumeCopy,
} from '../../legacy/import-devices.js';
import { planImport } from '../../legacy/import-plan.js';
import { importNames } from '../../legacy/named-devices.js';
import {
  devicesOf,
  findDevice,
  type OldDevice,
  type OldPool,
  type OldSource,
  type ThinOldDevice,
} from '../../legacy/old-source.js';
import { withDevices } from '../connect.js';
import type { Context } from '../context.js';
import { interruptible } from '../interrupt.js';
import { note, printResult } from '../output.js';
import { ServedAccess } from '../../transfer/pool-access.js';
import { PoolTarget } from '../../transfer/pool-target.js';
import { withProgress } from '../progress.js';
import { splitOperands } from './flags.js';
import type { ImportOptions } from './import.js';
import { reportLost } from './lost.js';
import { openOldDevice, type OpenedOldDevice } from './open.js';
import { requireData, withSourcePool } from './source.js';

export async function runLegacyImport(
  context: Context,
  operands: readonly string[],
  options: ImportOptions,
): Promise<void> {
  const { paths, wanted } = operandsOf(operands, options);
  await withSourcePool(paths, options, async (source) => {
    const chosen = wanted === undefined ? devicesOf(source) : [findDevice(source, wanted)];
    const opened = await openAll(source, chosen, options);
    const imported = await interruptible((signal) => run(context, source, opened, options, signal));
    const reports = [];
    for (const { device } of opened) reports.push(await reportLost(device));
    printResult(context, imported.map(importedJson), table(imported));
    for (const report of reports) report.requireNone();
  });
}

interface Opened {
  readonly one: OldDevice;
  readonly device: OpenedOldDevice;
}

const KINDS: Readonly<Record<OldDevice['role'], NewDevice['kind']>> = {
  base: 'image',
  layer: 'image',
  init: 'image',
  container: 'container',
  thin: 'snapshot',
  plain: 'snapshot',
};

/** Errors: invalid-argument. */
function operandsOf(
  operands: readonly string[],
  options: ImportOptions,
): { paths: readonly string[]; wanted: string | undefined } {
  if (options.all !== true) {
    const { paths, rest } = splitOperands(operands, options, ['DEVICE'] as const);
    return { paths, wanted: rest[0] };
  }
  if (options.name !== undefined || options.size !== undefined || options.externalOrigin !== undefined)
    throw new ThinError(
      'invalid-argument',
      '--name, --size and --external-origin are for one device; with --all, names are those of the old pool behind --prefix',
    );
  return { paths: splitOperands(operands, options, []).paths, wanted: undefined };
}

/** Walks every device before anything is made. Errors: damaged, unless it is to be skipped. */
async function openAll(
  source: OldSource,
  chosen: readonly OldDevice[],
  options: ImportOptions,
): Promise<readonly Opened[]> {
  const opened: Opened[] = [];
  for (const one of chosen) {
    try {
      opened.push({ one, device: await openOldDevice(source, one, options) });
    } catch (error) {
      const { code, message } = toThinError(error);
      const unreadable = code === 'invalid-argument' || code === 'unsupported';
      const leftOut = unreadable || (options.skipDamaged === true && code === 'damaged');
      if (chosen.length === 1 || !leftOut) throw error;
      note(`device ${one.label} is left out: ${message}`);
    }
  }
  return opened;
}

async function run(
  context: Context,
  source: OldSource,
  opened: readonly Opened[],
  options: ImportOptions,
  signal: AbortSignal,
): Promise<readonly ImportedDevice[]> {
  return withDevices(context, async (caller) => {
    const taken = new Set((await caller.call('device.list', {})).map(({ name }) => String(name)));
    const names = namesFor(
      opened.map(({ one }) => one),
      options,
      taken,
    );
    const batches = source.pools.map((pool) => batchOf(pool, opened, names));
    const volumes = opened.flatMap(({ one, device }) =>
      one.kind === 'plain' ? [volumeCopy(one, device, names)] : [],
    );
    const total =
      batches.reduce(
        (sum, { source: { blockSize }, steps }) =>
          steps.reduce((bytes, { blocks }) => bytes + blocks * blockSize, sum),
        0,
      ) + volumes.reduce((sum, { size }) => sum + size, 0);
    const info = await caller.call('pool.info', {});
    if (total > info.dataTotal - info.dataUsed)
      note(
        `${formatBinarySize(total)} are to be written and the pool has ${formatBinarySize(info.dataTotal - info.dataUsed)}; it goes well only if much of it is zeroes`,
      );
    return withProgress(context, 'importing', (onProgress) => {
      let done = 0;
      return importDevices(
        batches,
        volumes,
        new PoolTarget(new ServedAccess(caller, new ChildProcessExec())),
        {
          signal,
          onBytes: (bytes) => {
            done += bytes;
            onProgress?.({ done, total: Math.max(done, total) });
          },
        },
      );
    });
  });
}

type Names = ReadonlyMap<OldDevice, string>;

function namesFor(
  chosen: readonly OldDevice[],
  { name, prefix }: ImportOptions,
  taken: ReadonlySet<string>,
): Names {
  const [only] = chosen;
  if (name !== undefined && only !== undefined) return new Map([[only, parseDeviceName(name)]]);
  return importNames(chosen, { prefix, taken });
}

function batchOf(pool: OldPool, opened: readonly Opened[], names: Names): ImportBatch {
  const { pool: metadata, devices } = pool;
  const byHash = new Map(devices.map(({ docker, device }) => [docker?.hash, device.id]));
  const byVolume = new Map(devices.map(({ volume, device }) => [volume?.name, device.id]));
  const thin = new Map<number, ThinOldDevice>();
  const planned = opened.flatMap(({ one, device }) => {
    const tree = one.kind === 'thin' ? one.named.device.tree : undefined;
    if (one.kind === 'plain' || one.pool !== pool || tree === undefined) return [];
    const { docker, volume } = one.named;
    thin.set(one.number, one);
    return [
      {
        device: { ...one.named.device, tree },
        summary: summarizeDevice(one.named.device, metadata.dataBlocks),
        size: device.size,
        filesystem: device.filesystem?.type,
        hint: docker === undefined ? of(byVolume, volume?.origin) : of(byHash, docker.parent),
        image: device.image,
        below: device.origin,
      },
    ];
  });
  return {
    source: {
      data: requireData(pool),
      blockSize: metadata.superblock.blockSize,
      dataBlocks: metadata.dataBlocks,
      describe: ({ device, filesystem }) => {
        const one = thin.get(device.id);
        return {
          name: (one && names.get(one)) ?? `thin-${device.id}`,
          kind: KINDS[one?.role ?? 'thin'],
          // A device has one of the two in its record; with neither in it, it is activated and not mounted.
          filesystem: filesystem ?? 'xfs',
        };
      },
    },
    steps: planImport(planned, metadata.dataBlocks),
  };
}

function of(ids: ReadonlyMap<string | undefined, number>, key: string | undefined): number | undefined {
  return key === undefined ? undefined : ids.get(key);
}

function volumeCopy(one: OldDevice, device: OpenedOldDevice, names: Names): VolumeCopy {
  return {
    name: names.get(one) ?? one.label,
    kind: KINDS[one.role],
    filesystem: device.filesystem?.type ?? 'xfs',
    size: device.size,
    image: device.image,
  };
}

function importedJson(device: ImportedDevice): Readonly<Record<string, unknown>> {
  const { id, name, origin, size, kind, filesystem, written } = device;
  return { id, name, origin, size, kind, filesystem, written };
}

function table(imported: readonly ImportedDevice[]): string {
  return formatTable(
    [
      { title: 'ID', right: true },
      { title: 'NAME' },
      { title: 'KIND' },
      { title: 'ORIGIN' },
      { title: 'SIZE', right: true },
      { title: 'WRITTEN', right: true },
    ],
    imported.map(({ id, name, kind, origin, size, written }) => [
      id === undefined ? '-' : String(id),
      name,
      kind,
      origin ?? '-',
      formatBinarySize(size),
      formatBinarySize(written),
    ]),
  );
}
