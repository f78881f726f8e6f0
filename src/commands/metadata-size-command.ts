import { Option, type Command } from 'commander';
import {
  formatAmount,
  metadataSize,
  parseQuantity,
  parseUnit,
  parseUnitSize,
  worded,
} from '../thin-tools/metadata-size.js';
import { contextOf } from './context.js';
import { example } from './example.js';
import { printResult } from './output.js';

interface SizeFlags {
  readonly blockSize: string;
  readonly poolSize: string;
  readonly maxThins: string;
  readonly unit: string;
  readonly numericOnly?: string | true;
}

export function registerMetadataSizeCommand(program: Command): void {
  program
    .command('metadata-size')
    .summary('estimate the size of the metadata of a pool')
    .description(
      'Calculates the value for init --metadata-size, with the options of thin_metadata_size. Sizes take a unit (bskKmMgGtTpPeE: b bytes, s sectors, small letters binary, capitals decimal); without one they count sectors.',
    )
    .requiredOption('-b, --block-size <size>', 'unit of allocation')
    .requiredOption('-s, --pool-size <size>', 'data size of the pool')
    .requiredOption('-m, --max-thins <count>', 'devices and snapshots, at most')
    .option('-u, --unit <unit>', 'unit of the result', 's')
    .addOption(
      new Option(
        '-n, --numeric-only [form]',
        'only the number; short and long put the unit behind it',
      ).choices(['short', 'long']),
    )
    .addHelpText('after', example('thinfuse metadata-size -b 64k -s 100g -m 1000 -u m'))
    .action((options: SizeFlags, command: Command) => {
      const unit = parseUnit(options.unit);
      const bytes = metadataSize(
        parseUnitSize(options.blockSize, '--block-size'),
        parseUnitSize(options.poolSize, '--pool-size'),
        parseQuantity(options.maxThins, '--max-thins'),
      );
      const amount = formatAmount(bytes, unit);
      const { numericOnly } = options;
      const text =
        numericOnly === undefined
          ? `${amount} ${unit.word} estimated metadata area size for "${asked(options)}"`
          : `${amount}${numericOnly === 'short' ? unit.letter : numericOnly === 'long' ? unit.word : ''}`;
      printResult(contextOf(command), { bytes, unit: unit.word, amount }, text);
    });
}

function asked({ blockSize, poolSize, maxThins }: SizeFlags): string {
  return [
    `--block-size=${worded(blockSize, '--block-size', 'sectors')}`,
    `--pool-size=${worded(poolSize, '--pool-size', 'sectors')}`,
    `--max-thins=${worded(maxThins, '--max-thins')}`,
  ].join(' ');
}
