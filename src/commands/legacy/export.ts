import { Option, type Command } from 'commander';
import { contextOf, type Context } from '../context.js';
import { example } from '../example.js';
import { requireComplete } from '../incomplete.js';
import { interruptible } from '../interrupt.js';
import { note, printResult } from '../output.js';
import { withProgress } from '../progress.js';
import {
  deviceOf,
  sourceOf,
  splitOperands,
  withDevice,
  withSource,
  type DeviceFlags,
  type SourceFlags,
} from './flags.js';

interface ExportFlags extends SourceFlags, DeviceFlags {
  readonly format: 'raw' | 'tar';
  readonly output: string;
}

export function registerLegacyExport(legacy: Command): void {
  withDevice(
    withSource(
      legacy
        .command('export')
        .summary('write a device of an old pool to a file')
        .description(
          'Writes one device as a raw image with holes, or its files as a tar (the files in its rootfs, if Docker made it).',
        )
        .usage('[options] (PATH... | --metadata META --data DATA) DEVICE --output FILE')
        .argument('<operands...>', 'PATHs, unless given by options, and DEVICE: its number, name or id'),
    ),
  )
    .addOption(new Option('--format <format>', 'what to write').choices(['raw', 'tar']).default('raw'))
    .requiredOption('-o, --output <file>', 'the file to write; an existing file is replaced')
    .addHelpText(
      'after',
      example(
        'thinfuse legacy export /var/lib/docker/devicemapper web1 --format tar --output web1.tar',
        'thinfuse legacy export --metadata meta --data data 3 --format raw --output vm.img',
      ),
    )
    .action(async (operands: string[], flags: ExportFlags, command: Command) => {
      await exportOne(contextOf(command), operands, flags);
    });
}

async function exportOne(context: Context, operands: readonly string[], flags: ExportFlags): Promise<void> {
  const { reportLost, requireNoneLost } = await import('../../legacy/lost-report.js');
  const { openOldDevice } = await import('../../legacy/old-device.js');
  const { OldDeviceExport } = await import('../../legacy/old-device-export.js');
  const { findDevice } = await import('../../legacy/old-source.js');
  const { withOldSource } = await import('../../legacy/open-source.js');
  const { format, output } = flags;
  const { paths, rest } = splitOperands(operands, flags, ['DEVICE'] as const);
  await withOldSource(sourceOf(paths, flags), async (source) => {
    const chosen = findDevice(source, rest[0]);
    const device = await openOldDevice(source, chosen, deviceOf(flags));
    const { lacks } = await interruptible((signal) =>
      withProgress(context, format === 'tar' ? 'packing' : 'exporting', (onProgress) =>
        new OldDeviceExport(device, { signal, onProgress, onNote: note })[format](output),
      ),
    );
    const lost = await reportLost(device, note);
    const id = chosen.kind === 'thin' ? chosen.number : undefined;
    printResult(
      context,
      {
        id,
        name: chosen.label,
        format,
        output,
        size: device.size,
        lost: lost.lines,
        lostBytes: lost.ranges,
        lostFiles: lost.files,
        lacks,
      },
      `${output}: ${format} of device ${chosen.label}${id === undefined ? '' : ` (${id})`}`,
    );
    requireNoneLost([lost]);
    requireComplete(chosen.label, { lacks });
  });
}
