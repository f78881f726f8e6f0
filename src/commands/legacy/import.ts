import type { Command } from 'commander';
import { formatBinarySize } from '../../config/sizes.js';
import { formatTable } from '../../docker/table.js';
import { ThinError } from '../../errors/thin-error.js';
import type { ImportedDevice } from '../../legacy/import-devices.js';
import { withAccess } from '../connect.js';
import { contextOf, type Context } from '../context.js';
import { example } from '../example.js';
import { interruptible } from '../interrupt.js';
import { printResult } from '../output.js';
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

interface ImportFlags extends SourceFlags, DeviceFlags {
  readonly all?: boolean;
  readonly name?: string;
  readonly prefix?: string;
}

export function registerLegacyImport(legacy: Command): void {
  withDevice(
    withSource(
      legacy
        .command('import')
        .summary('bring devices of an old pool into the pool of the root')
        .description(
          'Copies one device or all devices into the pool of the root. Devices that share blocks there share them here. Copies everything or nothing.',
        )
        .usage('[options] (PATH... | --metadata META --data DATA) (DEVICE | --all)')
        .argument('[operands...]', 'PATHs, unless given by options, and DEVICE'),
    ),
  )
    .option('--all', 'every device of the old pool')
    .option('--name <name>', 'name of the device here; default: its name there')
    .option('--prefix <text>', 'text before the names from there')
    .addHelpText(
      'after',
      example(
        'thinfuse legacy import /var/lib/docker/devicemapper --all',
        'thinfuse legacy import --metadata meta --data data 3 --name vm',
      ),
    )
    .action(async (operands: string[], flags: ImportFlags, command: Command) => {
      await importAll(contextOf(command), operands, flags);
    });
}

async function importAll(context: Context, operands: readonly string[], flags: ImportFlags): Promise<void> {
  const { withOldSource } = await import('../../legacy/open-source.js');
  const { PoolImport } = await import('../../legacy/pool-import.js');
  const { requireNoneLost } = await import('../../legacy/lost-report.js');
  const { paths, wanted } = operandsOf(operands, flags);
  const { name, prefix } = flags;
  await withOldSource(sourceOf(paths, flags), async (source) => {
    const importing = await PoolImport.of(source, { ...deviceOf(flags), wanted, name, prefix });
    const imported = await interruptible((signal) =>
      withAccess(context, (access) =>
        withProgress(context, 'importing', (onProgress) => importing.into(access, { signal, onProgress })),
      ),
    );
    const reports = await importing.lost();
    printResult(context, imported.map(importedJson), table(imported));
    requireNoneLost(reports);
  });
}

/** Errors: invalid-argument. */
function operandsOf(
  operands: readonly string[],
  flags: ImportFlags,
): { paths: readonly string[]; wanted: string | undefined } {
  if (flags.all !== true) {
    const { paths, rest } = splitOperands(operands, flags, ['DEVICE'] as const);
    return { paths, wanted: rest[0] };
  }
  if (flags.name !== undefined || flags.size !== undefined || flags.externalOrigin !== undefined)
    throw new ThinError(
      'invalid-argument',
      '--name, --size and --external-origin are for one device; with --all, names are those of the old pool behind --prefix',
    );
  return { paths: splitOperands(operands, flags, []).paths, wanted: undefined };
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
      id === undefined ? '-' : `${id}`,
      name,
      kind,
      origin ?? '-',
      formatBinarySize(size),
      formatBinarySize(written),
    ]),
  );
}
