import type { Command } from 'commander';
import { ThinError } from '../errors/thin-error.js';
import type { ChunkRegion } from '../metadata/reverse-map.js';
import { withMetadata } from './connect.js';
import { contextOf } from './context.js';
import { example } from './example.js';
import type { DeltaSide } from '../legacy/tools/thin-delta.js';
import { isKernel, requireKernel, withKernelOption, type KernelFlags } from './kernel/flags.js';
import { printPieces } from './output.js';
import { repeated } from './repeated.js';
import {
  kernelSnapshotOf,
  parseCount,
  snapshotOf,
  withSnapshotOption,
  type SnapshotFlag,
} from './snapshot-option.js';

interface DeltaFlags extends SnapshotFlag, KernelFlags {
  readonly thin1?: string;
  readonly thin2?: string;
  readonly root1?: string;
  readonly root2?: string;
  readonly verbose?: boolean;
  readonly changesOnly?: boolean;
}

export function registerMappingCommands(program: Command): void {
  withKernelOption(
    withSnapshotOption(
      program
        .command('delta')
        .summary('show which blocks differ between two devices')
        .description(
          "Compares the mappings of two devices, given by name or number, in thin_delta's XML: blocks that only one has, that differ, and that are the same. Reads no data, and reads shared nodes once.",
        )
        .argument('[a]', 'the left device')
        .argument('[b]', 'the right one')
        .option('--thin1, --snap1 <device>', "the left device, in thin_delta's way")
        .option('--thin2, --snap2 <device>', 'the right one')
        .option(
          '--root1 <block>',
          'with --metadata, in place of the left device: the block of the root of mappings',
        )
        .option('--root2 <block>', 'the same of the right one')
        .option('--verbose', 'with the data blocks')
        .option('--changes-only', 'leave out equal blocks; the command then reads only the differences'),
    ),
  )
    .addHelpText('after', example('thinfuse delta web-before web', 'thinfuse delta web-before web --json'))
    .action(
      async (
        a: string | undefined,
        b: string | undefined,
        options: Record<string, unknown>,
        command: Command,
      ) => {
        const context = contextOf(command);
        const flags = options as DeltaFlags & { snap1?: string; snap2?: string };
        const [left, right] = [a ?? flags.snap1, b ?? flags.snap2];
        const format = context.json ? 'json' : flags.verbose === true ? 'verbose' : 'simple';
        requireKernel(flags, { '--root1': flags.root1, '--root2': flags.root2 });
        if (isKernel(flags)) {
          const { deltaOfKernelMetadata } = await import('./kernel/delta.js');
          await deltaOfKernelMetadata(context, flags, {
            left: sideOf(left, flags.root1, 1),
            right: sideOf(right, flags.root2, 2),
            format,
            changesOnly: flags.changesOnly === true,
            snapshot: kernelSnapshotOf(flags),
          });
          return;
        }
        if (left === undefined || right === undefined) throw sideMissing();
        await withMetadata(context, (metadata) =>
          printPieces(
            metadata.text('metadata.delta', {
              left,
              right,
              format,
              changesOnly: flags.changesOnly,
              snapshot: snapshotOf(flags),
            }),
          ),
        );
      },
    );

  withKernelOption(
    withSnapshotOption(
      program
        .command('rmap')
        .summary('show which devices map given chunks')
        .description(
          "Prints, in thin_rmap's words, which blocks of which devices map the chunks of one or more regions.",
        )
        .requiredOption(
          '--region <begin..end>',
          'chunks from BEGIN up to and without END; may be given more than once',
          repeated(parseRegion),
        ),
    ),
  )
    .addHelpText('after', example('thinfuse rmap --region 4..5', 'thinfuse rmap --region 0..100 --json'))
    .action(
      async (options: SnapshotFlag & KernelFlags & { region: readonly ChunkRegion[] }, command: Command) => {
        const context = contextOf(command);
        if (isKernel(options)) {
          const { rmapOfKernelMetadata } = await import('./kernel/rmap.js');
          const snapshot = kernelSnapshotOf(options);
          await rmapOfKernelMetadata(context, options, { regions: options.region, snapshot });
          return;
        }
        await withMetadata(context, (metadata) =>
          printPieces(
            metadata.text('metadata.rmap', {
              regions: options.region,
              json: context.json,
              snapshot: snapshotOf(options),
            }),
          ),
        );
      },
    );
}

/** One side of the kernel's metadata. @throws ThinError invalid-argument */
function sideOf(device: string | undefined, root: string | undefined, side: 1 | 2): DeltaSide {
  if (device !== undefined && root !== undefined)
    throw new ThinError('invalid-argument', `--root${side} stands in place of a device; give one of the two`);
  if (root !== undefined) return { root: parseCount(root, `--root${side}`) };
  if (device === undefined) throw sideMissing();
  return parseCount(device, `--thin${side}`);
}

function sideMissing(): ThinError {
  return new ThinError('invalid-argument', 'delta compares two devices; give both: thinfuse delta A B');
}

/** @throws ThinError invalid-argument */
function parseRegion(text: string): ChunkRegion {
  const match = /^(\d+)\.\.(\d+)$/.exec(text);
  const [begin, end] = [Number(match?.[1]), Number(match?.[2])];
  if (match === null || end <= begin || !Number.isSafeInteger(end))
    throw new ThinError(
      'invalid-argument',
      `--region: ${JSON.stringify(text)} is not a region; write it as BEGIN..END, such as 5..45 for chunks 5 to 44`,
    );
  return { begin, end };
}
