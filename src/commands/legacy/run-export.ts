import type { Incompleteness } from '../../api/operations.js';
import { Archive } from '../../host/archive.js';
import { ChildProcessExec } from '../../host/exec.js';
import { imageRuns } from '../../legacy/image-runs.js';
import { findDevice } from '../../legacy/old-source.js';
import { exportRaw } from '../../transfer/output-file.js';
import type { Context } from '../context.js';
import { requireComplete } from '../incomplete.js';
import { interruptible } from '../interrupt.js';
import { note, printResult } from '../output.js';
import { withProgress } from '../progress.js';
import { filesOf, withEmptyFolder } from '../../transfer/rootfs.js';
import type { ExportOptions } from './export.js';
import { splitOperands } from './flags.js';
import { reportLost } from './lost.js';
import { openOldDevice, type OpenedOldDevice } from './open.js';
import { withSourcePool } from './source.js';
import { mountDevice } from './view.js';

export async function runLegacyExport(
  context: Context,
  operands: readonly string[],
  options: ExportOptions,
): Promise<void> {
  const { paths, rest } = splitOperands(operands, options, ['DEVICE'] as const);
  await withSourcePool(paths, options, async (source) => {
    const chosen = findDevice(source, rest[0]);
    const device = await openOldDevice(source, chosen, options);
    const { lacks } = await interruptible((signal) =>
      options.format === 'raw'
        ? writeRaw(context, device, options.output, signal)
        : writeTar(context, device, options.output, signal),
    );
    const lost = await reportLost(device);
    printResult(
      context,
      {
        id: chosen.kind === 'thin' ? chosen.number : undefined,
        name: chosen.label,
        format: options.format,
        output: options.output,
        size: device.size,
        lost: lost.lines,
        lostBytes: lost.ranges,
        lostFiles: lost.files,
        lacks,
      },
      `${options.output}: ${options.format} of device ${chosen.label}${chosen.kind === 'thin' ? ` (${chosen.number})` : ''}`,
    );
    lost.requireNone();
    requireComplete(chosen.label, { lacks });
  });
}

async function writeRaw(
  context: Context,
  { size, image, number, origin }: OpenedOldDevice,
  output: string,
  signal: AbortSignal,
): Promise<Incompleteness> {
  await withProgress(context, 'exporting', async (onProgress) => {
    let done = 0;
    const read = async (offset: number, into: Uint8Array): Promise<void> => image.read(offset, into);
    await exportRaw({ runs: imageRuns(image), read, blockSize: 1, size }, output, {
      signal,
      sparse: number === undefined || origin !== undefined,
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
  device: OpenedOldDevice,
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
