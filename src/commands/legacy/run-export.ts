import { parseDeviceSize } from '../../config/limits.js';
import type { Incompleteness } from '../../api/operations.js';
import { Archive } from '../../host/archive.js';
import { ChildProcessExec } from '../../host/exec.js';
import { summarizeDevice } from '../../legacy/device-summary.js';
import { damagedDevice, lostLines } from '../../legacy/lost-ranges.js';
import { mappedRuns } from '../../legacy/mappings.js';
import { findDevice, type NamedDevice } from '../../legacy/named-devices.js';
import { openDevice, type OpenedDevice } from '../../legacy/opened-device.js';
import { exportRaw } from '../../transfer/output-file.js';
import type { Context } from '../context.js';
import { requireComplete } from '../incomplete.js';
import { interruptible } from '../interrupt.js';
import type { ExportOptions } from './export.js';
import { splitOperands } from './flags.js';
import { requireData, withSourcePool, type LegacySource } from './source.js';
import { mountDevice } from './view.js';
import { note, printResult } from '../output.js';
import { withProgress } from '../progress.js';
import { filesOf, withEmptyFolder } from '../../transfer/rootfs.js';

export async function runLegacyExport(
  context: Context,
  operands: readonly string[],
  options: ExportOptions,
): Promise<void> {
  const { path: source, rest } = splitOperands(operands, options, ['DEVICE'] as const);
  const skipDamaged = options.skipDamaged === true;
  const size = options.size === undefined ? undefined : parseDeviceSize(options.size, '--size');
  await withSourcePool(source, options, async (pool) => {
    const named = findDevice(pool.devices, rest[0]);
    const lost = requireWhole(pool, named, skipDamaged);
    const device = await openDevice(pool.pool, requireData(pool), named, { size, skipDamaged });
    const { lacks } = await interruptible((signal) =>
      options.format === 'raw'
        ? writeRaw(context, pool, device, options.output, signal)
        : writeTar(context, device, options.output, signal),
    );
    printResult(
      context,
      {
        id: named.device.id,
        name: named.label,
        format: options.format,
        output: options.output,
        size: device.size,
        lost,
        lacks,
      },
      `${options.output}: ${options.format} of device ${named.label} (${named.device.id})`,
    );
    requireComplete(named.label, { lacks });
  });
}

/** Returns what is lost, which is said. Errors: damaged, unless it is to be skipped. */
export function requireWhole(
  source: LegacySource,
  named: NamedDevice,
  skipDamaged: boolean,
): readonly string[] {
  const { pool } = source;
  const { blockSize } = pool.superblock;
  const { lost } = summarizeDevice(named.device, pool.dataBlocks);
  if (lost.length > 0 && !skipDamaged) throw damagedDevice(named.label, lost, blockSize);
  const lines = lostLines(lost, blockSize);
  for (const line of lines) note(line);
  return lines;
}

async function writeRaw(
  context: Context,
  { pool, ...source }: LegacySource,
  { tree, size, image }: OpenedDevice,
  output: string,
  signal: AbortSignal,
): Promise<Incompleteness> {
  const { blockSize } = pool.superblock;
  const runs = mappedRuns(tree, { dataBlocks: pool.dataBlocks, onLost: () => undefined });
  await withProgress(context, 'exporting', async (onProgress) => {
    let done = 0;
    const data = requireData({ pool, ...source });
    const read = (offset: number, into: Uint8Array): Promise<void> => data.read(offset, into);
    await exportRaw({ runs, read, blockSize, size }, output, {
      signal,
      onBytes: (bytes) => {
        done += bytes;
        onProgress?.({ done, total: Math.max(done, image.mappedBytes) });
      },
    });
  });
  return {};
}

async function writeTar(
  context: Context,
  device: OpenedDevice,
  output: string,
  signal: AbortSignal,
): Promise<Incompleteness> {
  return withEmptyFolder(async (folder) => {
    const mounted = await mountDevice(device, folder, 'kernel');
    try {
      const root = (await filesOf(mounted.target)) ?? mounted.target;
      const warnings = await withProgress(context, 'packing', (onProgress) =>
        new Archive(new ChildProcessExec()).export(
          root,
          { file: output },
          { signal, ...(onProgress === undefined ? {} : { onProgress }) },
        ),
      );
      for (const warning of warnings) note(warning);
      return { lacks: mounted.lacks };
    } finally {
      await mounted.unmount({ lazily: true });
      await mounted.end();
    }
  });
}
