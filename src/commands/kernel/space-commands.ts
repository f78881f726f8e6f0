import type { Command } from 'commander';
import { formatBinarySize, parseSize } from '../../config/sizes.js';
import { discardFree, shrinkData } from '../../legacy/tools/data-space.js';
import { contextOf, type Context } from '../context.js';
import { example } from '../example.js';
import { interruptible } from '../interrupt.js';
import { note, printResult } from '../output.js';
import { repeatedText } from '../repeated.js';
import type { KernelSource } from './flags.js';

interface DiscardFlags extends KernelSource {
  readonly data?: string;
}

interface ShrinkFlags {
  readonly metadata: string;
  readonly data: string;
  readonly size: string;
  readonly output: string;
}

export function registerSpaceCommands(program: Command): void {
  program
    .command('discard')
    .summary("free the unused blocks of an old pool's data")
    .description(
      "Discards the blocks of a dm-thin pool's data that no device and no metadata snapshot maps, as thin_trim does: they become holes of a file, or discards of a disk. Works only if the metadata is sound and nothing uses the pool.",
    )
    .requiredOption(
      '--metadata <path>',
      'the metadata, which is only read: a file, a device, or a disk of LVM (each of them, where there are several)',
      repeatedText,
    )
    .option('--pool <name>', 'which thin pool on disks of LVM: NAME or GROUP/NAME')
    .option('--data <path>', 'the data: a file or a device; on disks of LVM it is known')
    .addHelpText(
      'after',
      example('thinfuse discard --metadata meta --data data', 'thinfuse discard --metadata /dev/sdb'),
    )
    .action(async (flags: DiscardFlags, command: Command) => {
      await discard(contextOf(command), flags);
    });

  program
    .command('shrink')
    .summary("make an old pool's data smaller")
    .description(
      "Moves the blocks behind the new end of a dm-thin pool's data into free blocks before it, and writes new metadata, as thin_shrink does. The old metadata stays, and is valid until you truncate the data.",
    )
    .requiredOption('--metadata <path>', 'the metadata: a file or a device; it is only read')
    .requiredOption('--data <path>', 'the data: a file or a device')
    .requiredOption('--size <size>', 'the new size of the data; whole blocks')
    .requiredOption(
      '-o, --output <path>',
      'the file or device for the new metadata, which must be large enough',
    )
    .addHelpText('after', example('thinfuse shrink --metadata meta --data data --size 40G -o new-meta'))
    .action(async (flags: ShrinkFlags, command: Command) => {
      await shrink(contextOf(command), flags);
    });
}

async function discard(context: Context, flags: DiscardFlags): Promise<void> {
  const { bytes, ranges } = await discardFree({ ...flags, onNote: note });
  printResult(context, { bytes, ranges }, `${formatBinarySize(bytes)} discarded`);
}

async function shrink(context: Context, flags: ShrinkFlags): Promise<void> {
  const { output } = flags;
  const request = { ...flags, size: parseSize(flags.size), onNote: note };
  const { size, blocks, moved } = await interruptible((signal) => shrinkData(request, signal));
  note(`use ${output} as the metadata from now on, and then cut the data off at ${size} bytes`);
  printResult(
    context,
    { output, size, blocks, moved },
    `${formatBinarySize(moved)} moved; the data needs ${formatBinarySize(size)} with ${output}`,
  );
}
