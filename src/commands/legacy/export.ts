import { Option, type Command } from 'commander';
import { contextOf } from '../context.js';
import { example } from '../example.js';
import { withSource, type SourceFlags } from './flags.js';

export interface ExportOptions extends SourceFlags {
  readonly format: 'raw' | 'tar';
  readonly output: string;
  readonly skipDamaged?: boolean;
  readonly size?: string;
}

export function registerLegacyExport(legacy: Command): void {
  withSource(
    legacy
      .command('export')
      .summary('write a device of an old pool to a file')
      .description(
        'Writes one device as a raw image with holes, or the files in it as a tar (those in its rootfs, where Docker made it).',
      )
      .usage('[options] (PATH... | --metadata META --data DATA) DEVICE --output FILE')
      .argument('<operands...>', 'PATHs, unless given by options, and DEVICE: its number, name or id'),
  )
    .addOption(new Option('--format <format>', 'what to write').choices(['raw', 'tar']).default('raw'))
    .requiredOption('-o, --output <file>', 'the file to write; replaced where it is there')
    .option('--external-origin <file>', 'what the device shows where it maps nothing')
    .option('--skip-damaged', 'zeroes where it is damaged or cannot be read, and say where (exit code 1)')
    .option('--size <size>', 'size of the device, where neither Docker nor its filesystem tells it')
    .addHelpText(
      'after',
      example(
        'thinfuse legacy export /var/lib/docker/devicemapper web1 --format tar --output web1.tar',
        'thinfuse legacy export --metadata meta --data data 3 --format raw --output vm.img',
      ),
    )
    .action(async (operands: string[], options: ExportOptions, command: Command) => {
      const { runLegacyExport } = await import('./run-export.js');
      await runLegacyExport(contextOf(command), operands, options);
    });
}
