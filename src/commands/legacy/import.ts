import type { Command } from 'commander';
import { contextOf } from '../context.js';
import { example } from '../example.js';
import { withSource, type SourceFlags } from './flags.js';

export interface ImportOptions extends SourceFlags {
  readonly all?: boolean;
  readonly name?: string;
  readonly prefix?: string;
  readonly size?: string;
  readonly skipDamaged?: boolean;
}

export function registerLegacyImport(legacy: Command): void {
  withSource(
    legacy
      .command('import')
      .summary('bring devices of an old pool into the pool of the root')
      .description(
        'Copies one device, or all of them with what they share still shared, into the pool of the root. All of it or nothing.',
      )
      .usage('[options] (PATH... | --metadata META --data DATA) (DEVICE | --all)')
      .argument('[operands...]', 'PATHs, unless given by options, and DEVICE'),
  )
    .option('--all', 'every device of the old pool')
    .option('--name <name>', 'what the device is called here; what it was called there otherwise')
    .option('--prefix <text>', 'put in front of the names from there')
    .option('--size <size>', 'size of the device, where neither Docker nor its filesystem tells it')
    .option('--external-origin <file>', 'what the device shows where it maps nothing')
    .option('--skip-damaged', 'zeroes where it is damaged or cannot be read, and say where (exit code 1)')
    .addHelpText(
      'after',
      example(
        'thinfuse legacy import /var/lib/docker/devicemapper --all',
        'thinfuse legacy import --metadata meta --data data 3 --name vm',
      ),
    )
    .action(async (operands: string[], options: ImportOptions, command: Command) => {
      const { runLegacyImport } = await import('./run-import.js');
      await runLegacyImport(contextOf(command), operands, options);
    });
}
