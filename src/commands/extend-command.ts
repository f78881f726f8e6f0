import type { Command } from 'commander';
import { formatBinarySize, parseSize } from '../config/sizes.js';
import { ThinError } from '../errors/thin-error.js';
import { withPool } from './connect.js';
import { contextOf } from './context.js';
import { example } from './example.js';
import { printResult } from './output.js';

export function registerExtendCommand(program: Command): void {
  program
    .command('extend')
    .summary('make the pool larger')
    .description(
      'Grows the pool while it is in use; writers that waited for room continue. SIZE is the new size, or with a + before it the size to add. A data file grows with the pool; enlarge a block device first. Pools do not shrink.',
    )
    .argument('[size]', 'for data, such as 200G or +20G')
    .option('--max', 'data: all that its disk has room for, as after the disk was enlarged')
    .option('--metadata <size>', 'for metadata, in the same way')
    .addHelpText(
      'after',
      example('thinfuse extend +20G', 'thinfuse extend --max', 'thinfuse extend --metadata 4G'),
    )
    .action(
      async (size: string | undefined, options: { metadata?: string; max?: boolean }, command: Command) => {
        const context = contextOf(command);
        const { metadata, max = false } = options;
        if (max && size !== undefined)
          throw new ThinError('invalid-argument', 'give a SIZE or --max, not both');
        if (size === undefined && metadata === undefined && !max)
          throw new ThinError(
            'invalid-argument',
            'extend needs a SIZE or --max, or --metadata SIZE, or both',
          );
        const info = await withPool(context, async (caller) => {
          const before = await caller.call('pool.info', {});
          return caller.call('pool.extend', {
            data: max ? 'max' : size === undefined ? undefined : newSize(size, before.dataTotal, 'the size'),
            metadata:
              metadata === undefined ? undefined : newSize(metadata, before.metadataTotal, '--metadata'),
          });
        });
        const { dataTotal, metadataTotal } = info;
        printResult(
          context,
          { dataTotal, metadataTotal },
          `data ${formatBinarySize(dataTotal)}, metadata ${formatBinarySize(metadataTotal)}`,
        );
      },
    );
}

function newSize(text: string, before: number, what: string): number {
  return text.startsWith('+') ? before + parseSize(text.slice(1), what) : parseSize(text, what);
}
