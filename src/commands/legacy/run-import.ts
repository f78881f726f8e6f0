import { parseDeviceSize } from '../../config/limits.js';
import { formatBinarySize } from '../../config/sizes.js';
import { formatTable } from '../../docker/table.js';
import { toThinError, ThinError } from '../../errors/thin-error.js';
import { parseDeviceName } from '../../format/device-name.js';
import { ChildProcessExec } from '../../host/exec.js';
import { summarizeDevice } from '../../legacy/device-summary.js';
import {
  importDevices,
  type ImportedDevice,
  type ImportSource,
  type NewDevice,
} from '../../legacy/import-devices.js';
import { planImport, type PlanDevice, type PlanStep } from '../../legacy/import-plan.js';
import { findDevice, importNames, type DeviceRole, type NamedDevice } from '../../legacy/named-devices.js';
import { openDevice } from '../../legacy/opened-device.js';
import { withDevices } from '../connect.js';
import type { Context } from '../context.js';
import { interruptible } from '../interrupt.js';
import { splitOperands } from './flags.js';
import { ServedAccess } from '../../transfer/pool-access.js';
import { PoolTarget } from '../../transfer/pool-target.js';
import type { ImportOptions } from './import.js';
import { requireData, withSourcePool, type LegacySource } from './source.js';
import { note, printResult } from '../output.js';
import { withProgress } from '../progress.js';
import { requireWhole } from './run-export.js';

export async function runLegacyImport(
  context: Context,
  operands: readonly string[],
  options: ImportOptions,
): Promise<void> {
  const { path, wanted } = operandsOf(operands, options);
  await withSourcePool(path, options, async (source) => {
    const chosen = wanted === undefined ? source.devices : [findDevice(source.devices, wanted)];
    const planned = await collect(source, chosen, options);
    const steps = planImport(planned, source.pool.dataBlocks);
    const imported = await interruptible((signal) => run(context, source, chosen, steps, options, signal));
    printResult(context, imported.map(importedJson), table(imported));
  });
}

const KINDS: Readonly<Record<DeviceRole, NewDevice['kind']>> = {
  base: 'image',
  layer: 'image',
  init: 'image',
  container: 'container',
  thin: 'snapshot',
};

/** Errors: invalid-argument. */
function operandsOf(
  operands: readonly string[],
  options: ImportOptions,
): { path: string | undefined; wanted: string | undefined } {
  if (options.all !== true) {
    const { path, rest } = splitOperands(operands, options, ['DEVICE'] as const);
    return { path, wanted: rest[0] };
  }
  if (options.name !== undefined || options.size !== undefined)
    throw new ThinError(
      'invalid-argument',
      '--name and --size are for one device; with --all, names are those of the old pool behind --prefix',
    );
  return { path: splitOperands(operands, options, []).path, wanted: undefined };
}

/** Walks every device before anything is made. Errors: damaged, unless it is to be skipped. */
async function collect(
  source: LegacySource,
  chosen: readonly NamedDevice[],
  options: ImportOptions,
): Promise<readonly PlanDevice[]> {
  const { pool } = source;
  const skipDamaged = options.skipDamaged === true;
  const size = options.size === undefined ? undefined : parseDeviceSize(options.size, '--size');
  const byHash = new Map(source.devices.map(({ docker, device }) => [docker?.hash, device.id]));
  const planned: PlanDevice[] = [];
  for (const named of chosen) {
    requireWhole(source, named, skipDamaged);
    try {
      const opened = await openDevice(pool, requireData(source), named, { size, skipDamaged });
      planned.push({
        device: { ...named.device, tree: opened.tree },
        summary: summarizeDevice(named.device, pool.dataBlocks),
        size: opened.size,
        filesystem: opened.filesystem?.type,
        hint: named.docker?.parent === undefined ? undefined : byHash.get(named.docker.parent),
      });
    } catch (error) {
      const { code, message } = toThinError(error);
      const empty = code === 'invalid-argument' && chosen.length > 1;
      if (!empty && !(skipDamaged && code === 'damaged' && chosen.length > 1)) throw error;
      note(`device ${named.label} is left out: ${message}`);
    }
  }
  return planned;
}

async function run(
  context: Context,
  source: LegacySource,
  chosen: readonly NamedDevice[],
  steps: readonly PlanStep[],
  options: ImportOptions,
  signal: AbortSignal,
): Promise<readonly ImportedDevice[]> {
  const { blockSize } = source.pool.superblock;
  const total = steps.reduce((sum, { blocks }) => sum + blocks * blockSize, 0);
  return withDevices(context, async (caller) => {
    const taken = new Set((await caller.call('device.list', {})).map(({ name }) => String(name)));
    const names = namesFor(chosen, options, taken);
    const info = await caller.call('pool.info', {});
    if (total > info.dataTotal - info.dataUsed)
      note(
        `${formatBinarySize(total)} are to be written and the pool has ${formatBinarySize(info.dataTotal - info.dataUsed)}; it goes well only if much of it is zeroes`,
      );
    return withProgress(context, 'importing', (onProgress) => {
      let done = 0;
      return importDevices(
        importSource(source, chosen, names),
        steps,
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

function namesFor(
  chosen: readonly NamedDevice[],
  { name, prefix }: ImportOptions,
  taken: ReadonlySet<string>,
): ReadonlyMap<number, string> {
  const [only] = chosen;
  if (name !== undefined && only !== undefined) return new Map([[only.device.id, parseDeviceName(name)]]);
  return importNames(chosen, { prefix, taken });
}

function importSource(
  source: LegacySource,
  chosen: readonly NamedDevice[],
  names: ReadonlyMap<number, string>,
): ImportSource {
  const roles = new Map(chosen.map(({ device, role }) => [device.id, role]));
  return {
    data: requireData(source),
    blockSize: source.pool.superblock.blockSize,
    dataBlocks: source.pool.dataBlocks,
    describe: ({ device, filesystem }) => ({
      name: names.get(device.id) ?? `thin-${device.id}`,
      kind: KINDS[roles.get(device.id) ?? 'thin'],
      // A device has one of the two in its record; with neither in it, it is activated and not mounted.
      filesystem: filesystem ?? 'xfs',
    }),
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
      String(id),
      name,
      kind,
      origin ?? '-',
      formatBinarySize(size),
      formatBinarySize(written),
    ]),
  );
}
