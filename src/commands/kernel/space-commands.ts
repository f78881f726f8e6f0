import { open, stat } from 'node:fs/promises';
import type { Command } from 'commander';
import { formatBinarySize, parseSize } from '../../config/sizes.js';
import { ThinError } from '../../errors/thin-error.js';
import { Discarder } from '../../host/discarder.js';
import { ChildProcessExec } from '../../host/exec.js';
import { deviceMapperHolders } from '../../legacy/in-use.js';
import { withOldSource } from '../../legacy/open-source.js';
import type { OldPool } from '../../legacy/old-source.js';
import { moveData, shrunkDump } from '../../legacy/tools/shrink.js';
import { planShrink } from '../../legacy/tools/shrink-plan.js';
import { dataUse } from '../../legacy/tools/used-blocks.js';
import { writeAll } from '../../transfer/output-file.js';
import { contextOf, type Context } from '../context.js';
import { example } from '../example.js';
import { interruptible } from '../interrupt.js';
import { note, printResult } from '../output.js';
import { requireOther, restoreText } from './restore.js';

interface DataFlags {
  readonly metadata: string;
  readonly data: string;
}

interface ShrinkFlags extends DataFlags {
  readonly size: string;
  readonly output: string;
}

export function registerSpaceCommands(program: Command): void {
  program
    .command('discard')
    .summary("give back what an old pool's data has free")
    .description(
      "Discards the blocks of a dm-thin pool's data that no device and no metadata snapshot maps, as thin_trim does: they become holes of a file, and a disk hears of them. Only where the metadata is sound and nothing uses the pool.",
    )
    .requiredOption('--metadata <path>', 'the metadata: a file or a device; it is only read')
    .requiredOption('--data <path>', 'the data: a file or a device')
    .addHelpText('after', example('thinfuse discard --metadata meta --data data'))
    .action(async (flags: DataFlags, command: Command) => {
      await discard(contextOf(command), flags);
    });

  program
    .command('shrink')
    .summary("make an old pool's data smaller")
    .description(
      "Moves what lies behind the new end of a dm-thin pool's data into what is free before, and writes new metadata that says so, as thin_shrink does. The old metadata stays as it is, and is true until the data is cut off.",
    )
    .requiredOption('--metadata <path>', 'the metadata: a file or a device; it is only read')
    .requiredOption('--data <path>', 'the data: a file or a device')
    .requiredOption('--size <size>', 'what the data is to have; whole blocks')
    .requiredOption(
      '-o, --output <path>',
      'where the new metadata goes: a file or a device that is large enough',
    )
    .addHelpText('after', example('thinfuse shrink --metadata meta --data data --size 40G -o new-meta'))
    .action(async (flags: ShrinkFlags, command: Command) => {
      await shrink(contextOf(command), flags);
    });
}

async function discard(context: Context, flags: DataFlags): Promise<void> {
  await withPool(flags, async (pool) => {
    const { blockSize } = pool.pool.superblock;
    const { free } = dataUse(pool.pool);
    const ranges = free.map(({ begin, length }) => ({
      offset: begin * blockSize,
      length: length * blockSize,
    }));
    await new Discarder(new ChildProcessExec()).discard(flags.data, ranges);
    const bytes = ranges.reduce((sum, { length }) => sum + length, 0);
    printResult(context, { bytes, ranges: ranges.length }, `${formatBinarySize(bytes)} discarded`);
  });
}

async function shrink(context: Context, flags: ShrinkFlags): Promise<void> {
  const { metadata, data, output } = flags;
  await requireOther(output, [metadata, data]);
  const size = parseSize(flags.size);
  await withPool(flags, async ({ pool, data: reader }) => {
    const { blockSize } = pool.superblock;
    const blocks = Math.floor(size / blockSize);
    if (blocks === 0 || blocks > pool.dataBlocks)
      throw new ThinError(
        'invalid-argument',
        `--size ${flags.size}: the data has ${pool.dataBlocks * blockSize} bytes in blocks of ${blockSize}; give a smaller size`,
      );
    const moves = planShrink(dataUse(pool), blocks);
    await interruptible(async (signal) => {
      const target = await open(data, 'r+');
      try {
        const write = (offset: number, bytes: Uint8Array): Promise<void> => writeAll(target, offset, bytes);
        await moveData(reader!, moves, { blockSize, write, signal });
        await target.sync();
      } finally {
        await target.close();
      }
    });
    const { size: bytes } = await stat(metadata);
    await restoreText(shrunkDump(pool, moves, blocks), output, () => atLeast(output, bytes));
    const moved = moves.reduce((sum, { length }) => sum + length, 0) * blockSize;
    note(
      `use ${output} as the metadata from now on, and then cut the data off at ${blocks * blockSize} bytes`,
    );
    printResult(
      context,
      { output, size: blocks * blockSize, blocks, moved },
      `${formatBinarySize(moved)} moved; the data needs ${formatBinarySize(blocks * blockSize)} with ${output}`,
    );
  });
}

/** A file that is not there yet is made, and given its size. */
async function atLeast(output: string, bytes: number): Promise<void> {
  const handle = await open(output, 'a', 0o600);
  try {
    const found = await handle.stat();
    if (found.isFile() && found.size < bytes) await handle.truncate(bytes);
  } finally {
    await handle.close();
  }
}

/** Errors: busy (device mapper has it open); as `withOldSource`. */
async function withPool(flags: DataFlags, work: (pool: OldPool) => Promise<void>): Promise<void> {
  for (const file of [flags.metadata, flags.data]) {
    const holders = await deviceMapperHolders(file);
    if (holders.length > 0)
      throw new ThinError('busy', `${file} is in use by ${holders.join(', ')}; stop the pool first`);
  }
  const request = { paths: [], ...flags, snapshot: false, search: false, overrides: {}, onNote: note };
  await withOldSource(request, async ({ pools: [pool] }) => {
    await work(pool!);
  });
}
