import { Option, type Command } from 'commander';
import { contextOf } from './context.js';
import { example } from './example.js';

export const EXPORT_FORMATS = ['tar', 'raw', 'qcow2', 'dm-thin'] as const;

export interface ExportFlags {
  readonly format: (typeof EXPORT_FORMATS)[number];
  readonly output?: string;
}

export function registerExportCommand(program: Command): void {
  program
    .command('export')
    .summary('write a device, or the whole pool, for other programs')
    .description(
      'Writes the files of a device as a tar, its blocks as a raw image with holes or a qcow2 image, or the whole pool as a metadata and a data file that the kernel opens with dm-thin. Each device is written as it is at one moment; who uses it goes on.',
    )
    .usage('[options] (ID | --format dm-thin)')
    .argument('[id]', 'the device; none with --format dm-thin, which takes all')
    .addOption(new Option('--format <format>', 'what to write').choices(EXPORT_FORMATS).default('tar'))
    .option(
      '-o, --output <file>',
      'the file to write, a new folder with --format dm-thin; a tar goes to standard output without it',
    )
    .addHelpText(
      'after',
      example(
        'thinfuse export web1 | zstd > web1.tar.zst',
        'thinfuse export vm --format qcow2 --output vm.qcow2',
        'thinfuse export --format dm-thin --output /backup/pool',
      ),
    )
    .action(async (name: string | undefined, flags: ExportFlags, command: Command) => {
      const { runExport } = await import('./run-export.js');
      await runExport(contextOf(command), name, flags);
    });
}
