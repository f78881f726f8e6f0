import { open, stat } from 'node:fs/promises';
import type { Command } from 'commander';
import { formatBinarySize, parseSize } from '../../config/sizes.js';
import { ThinError } from '../../errors/thin-error.js';
import { Discarder } from '../../host/discarder.js';
import { ChildProcessExec } from '../../host/exec.js';
import { deviceMapperHolders } from '../../legacy/in-use.js';
import type { DiskReader } from '../../legacy/disk-reader.js';
import { hasLvm } from '../../legacy/lvm/pool-metadata.js';
import { requireData, withOldSource } from '../../legacy/open-source.js';
import type { OldPool, OldSource } from '../../legacy/old-source.js';
import { SourceFile } from '../../legacy/source-file.js';
import { moveData, shrunkDump } from '../../legacy/tools/shrink.js';
import { planShrink } from '../../legacy/tools/shrink-plan.js';
import { dataUse } from '../../legacy/tools/used-blocks.js';
import { writeAll } from '../../transfer/output-file.js';
import { contextOf, type Context } from '../context.js';
import { example } from '../example.js';
import { interruptible } from '../interrupt.js';
import { note, printResult } from '../output.js';
import { repeatedText } from '../repeated.js';
import type { KernelSource } from './flags.js';
import { requireOther, restoreText } from './restore.js';

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
    .summary("give back what an old pool's data has free")
    .description(
      "Discards the blocks of a dm-thin pool's data that no device and no metadata snapshot maps, as thin_trim does: they become holes of a file, and a disk hears of them. Only where the metadata is sound and nothing uses the pool.",
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

async function discard(context: Context, flags: DiscardFlags): Promise<void> {
  await withPool(flags, async ({ pool, data }) => {
    const { blockSize } = pool.superblock;
    const ranges = new Map<string, { readonly offset: number; readonly length: number }[]>();
    let bytes = 0;
    let count = 0;
    for (const { begin, length } of dataUse(pool).free)
      for (const { path, ...range } of data.places(begin * blockSize, (begin + length) * blockSize)) {
        const before = ranges.get(path) ?? [];
        ranges.set(path, before);
        before.push(range);
        bytes += range.length;
        count++;
      }
    const discarder = new Discarder(new ChildProcessExec());
    for (const [path, own] of ranges) await discarder.discard(path, own);
    printResult(context, { bytes, ranges: count }, `${formatBinarySize(bytes)} discarded`);
  });
}

async function shrink(context: Context, flags: ShrinkFlags): Promise<void> {
  const { metadata, data, output } = flags;
  await requireOther(output, [metadata, data]);
  requireNoLvm([metadata, data]);
  const size = parseSize(flags.size);
  await withPool({ metadata: [metadata], data }, async ({ pool, data: reader }) => {
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
        await moveData(reader, moves, { blockSize, write, signal });
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

/** A pool whose data is there, and that nothing uses. */
type WholePool = OldPool & { readonly data: DiskReader };

/**
 * Two files, or disks of LVM and the pool on them. Errors: busy (device mapper has one open),
 * invalid-argument (which pool, or which data), damaged (a disk is missing); as `withOldSource`.
 */
async function withPool(
  { metadata, data, pool: name }: DiscardFlags,
  work: (pool: WholePool) => Promise<void>,
): Promise<void> {
  for (const file of data === undefined ? metadata : [...metadata, data]) {
    const holders = await deviceMapperHolders(file);
    if (holders.length > 0)
      throw new ThinError('busy', `${file} is in use by ${holders.join(', ')}; stop the pool first`);
  }
  const place =
    data === undefined ? { paths: metadata, metadata: undefined } : { paths: [], metadata: metadata[0] };
  const request = { ...place, data, heldRoot: false, search: false, overrides: {}, onNote: note };
  await withOldSource(request, async ({ pools, broken }) => {
    const pool = onlyPool(pools, broken, name);
    const reader = requireData(pool);
    const [gap] = reader.gaps(0, pool.pool.dataBlocks * pool.pool.superblock.blockSize);
    if (gap !== undefined) throw new ThinError('damaged', `${reader.path} is not whole: ${gap.problem}`);
    await work({ ...pool, data: reader });
  });
}

function onlyPool(pools: readonly OldPool[], broken: OldSource['broken'], name: string | undefined): OldPool {
  const found = pools.filter(({ path }) => name === undefined || path === name || path.endsWith(`/${name}`));
  const [only, ...others] = found;
  if (only === undefined && broken[0] !== undefined && name === undefined) throw broken[0].error;
  if (only === undefined)
    throw new ThinError(
      'not-found',
      `no thin pool ${name ?? ''} is there that can be read; there are ${pools.map(({ path }) => path).join(', ') || 'none'}`,
    );
  if (others.length > 0)
    throw new ThinError(
      'invalid-argument',
      `several thin pools are there (${found.map(({ path }) => path).join(', ')}); name one with --pool`,
    );
  return only;
}

/** @throws ThinError unsupported: on disks of LVM, data cannot become smaller */
function requireNoLvm(paths: readonly string[]): void {
  for (const path of paths) {
    const file = new SourceFile(path, 'the pool');
    try {
      if (hasLvm(file))
        throw new ThinError(
          'unsupported',
          `${path} is a disk of LVM, and LVM has no way to make the data of a thin pool smaller (lvreduce refuses it, too); bring its devices into a smaller pool: thinfuse legacy import ${path} --all, then export --format lvm`,
        );
    } finally {
      file.close();
    }
  }
}
