import { isatty } from 'node:tty';
import { Option, type Command } from 'commander';
import { rootLayout } from '../config/root-layout.js';
import { ThinError } from '../errors/thin-error.js';
import { makeFilesPrivate } from '../host/private-files.js';
import type { DumpOverrides } from '../legacy/tools/thin-dump.js';
import type { DumpFormat } from '../thin-tools/dump-words.js';
import { missingCommits } from '../store/marked-store.js';
import { openWhenFree } from '../daemon/open-when-free.js';
import { withMetadata } from './connect.js';
import { contextOf, rootFlag, type Context } from './context.js';
import { repeatedText } from './repeated.js';
import { example } from './example.js';
import { isKernel, requireKernel, withKernelOption, type KernelFlags } from './kernel/flags.js';
import { note, print, printJson, printPieces, printResult } from './output.js';
import { piecesOf, writePieces } from '../transfer/text-file.js';
import {
  kernelSnapshotOf,
  parseCount,
  snapshotOf,
  withSnapshotOption,
  type SnapshotFlag,
} from './snapshot-option.js';
import { told, whileWorking } from './progress.js';

/** Of --data-block-size, in bytes. */
const SECTOR = 512;

interface DumpFlags extends SnapshotFlag, KernelFlags, SuperblockFlags {
  readonly format: 'xml' | 'human_readable' | 'human';
  readonly output?: string;
  readonly repair?: boolean;
  readonly devId?: readonly string[];
  readonly skipMappings?: boolean;
  readonly plain?: boolean;
}

interface SuperblockFlags {
  readonly transactionId?: string;
  readonly dataBlockSize?: string;
  readonly nrDataBlocks?: string;
}

interface RestoreFlags extends SuperblockFlags {
  readonly input: string;
  readonly output?: string;
  readonly replace?: boolean;
  readonly quiet?: boolean;
}

interface RepairFlags extends KernelFlags, SuperblockFlags {
  readonly output?: string;
  readonly acceptOlder?: boolean;
  readonly acceptData?: boolean;
  readonly force?: boolean;
}

export function registerDumpCommands(program: Command): void {
  registerDump(program);
  registerRestore(program);
  registerRepair(program);
}

function registerDump(program: Command): void {
  withSuperblockOptions(
    withKernelOption(
      withSnapshotOption(
        program
          .command('dump')
          .summary("write the pool's metadata as text")
          .description(
            "Writes all devices and mappings in thin_dump's XML, which thin_restore and thinfuse restore read. Names and sizes stand in comments. Works beside a running daemon. With --metadata, does what thin_dump 0.9 does with the kernel's metadata.",
          )
          .addOption(
            new Option('-f, --format <format>', 'what to write')
              .choices(['xml', 'human_readable', 'human'])
              .default('xml'),
          )
          .option('-o, --output <file>', 'the file to write; default: standard output')
          .option('-r, --repair', 'skip what cannot be read, and say so in comments')
          .option(
            '--dev-id <device>',
            'only this device: its number or its name; with --metadata, more than one',
            repeatedText,
          )
          .option('--skip-mappings', 'devices without their mappings')
          .option('--plain', 'no comments: byte for byte what thin_dump would write'),
      ),
    ),
  )
    .addHelpText(
      'after',
      example(
        'thinfuse dump -o pool.xml',
        'thinfuse dump --format human --dev-id web',
        'thinfuse dump --metadata /dev/vg/pool_tmeta',
      ),
    )
    .action(async (options: DumpFlags, command: Command) => {
      const context = contextOf(command);
      const format: DumpFormat = options.format === 'xml' ? 'xml' : 'human_readable';
      const { output, devId } = options;
      requireKernel(options, {
        '--transaction-id': options.transactionId,
        '--data-block-size': options.dataBlockSize,
        '--nr-data-blocks': options.nrDataBlocks,
        'a second --dev-id': devId?.[1],
      });
      if (isKernel(options)) {
        const { dumpKernelMetadata } = await import('./kernel/dump.js');
        await dumpKernelMetadata(context, options, {
          format,
          output,
          repair: options.repair === true,
          heldRoot: kernelSnapshotOf(options),
          devices: devId?.map((id) => parseCount(id, '--dev-id')),
          skipMappings: options.skipMappings === true,
          overrides: kernelOverridesOf(options),
        });
      } else {
        const snapshot = snapshotOf(options);
        await withMetadata(context, async (metadata) => {
          const text = metadata.text('metadata.dump', {
            format,
            snapshot,
            device: devId?.[0],
            skipMappings: options.skipMappings,
            repair: options.repair,
            plain: options.plain,
          });
          // Where a terminal shows the text itself, that is progress enough.
          if (output === undefined && isatty(1)) await printPieces(text);
          else
            await whileWorking(context, 'dumping', (say) =>
              output === undefined ? printPieces(told(text, say)) : writePieces(output, told(text, say)),
            );
        });
      }
      if (output !== undefined && context.json) printJson({ output });
    });
}

function withSuperblockOptions(command: Command): Command {
  return command
    .option('--transaction-id <number>', 'with --metadata, in place of the value in the superblock')
    .option('--data-block-size <sectors>', 'with --metadata, in place of the value in the superblock')
    .option('--nr-data-blocks <number>', 'with --metadata, in place of the value in the superblock');
}

/** @throws ThinError invalid-argument */
function kernelOverridesOf({ transactionId, dataBlockSize, nrDataBlocks }: SuperblockFlags): DumpOverrides {
  return {
    transaction:
      transactionId === undefined ? undefined : BigInt(parseCount(transactionId, '--transaction-id')),
    blockSize:
      dataBlockSize === undefined ? undefined : SECTOR * parseCount(dataBlockSize, '--data-block-size'),
    dataBlocks: nrDataBlocks === undefined ? undefined : parseCount(nrDataBlocks, '--nr-data-blocks'),
  };
}

function registerRestore(program: Command): void {
  program
    .command('restore')
    .summary("rebuild the pool's metadata from a dump")
    .description(
      'Makes the metadata of the pool from a dump by thinfuse or thin_dump, around the chunks that the pool holds. Works if the pool lost its metadata, and with --replace on any pool. Refuses a dump that maps missing chunks. Needs a stopped daemon.',
    )
    .requiredOption('-i, --input <file>', 'the dump; - is standard input')
    .option('-o, --output <root>', 'the root of the pool, as --root')
    .option('--replace', 'also if the pool has readable metadata')
    .option('--transaction-id <number>', 'in place of the value in the dump')
    .option('--data-block-size <sectors>', 'in place of the value in the dump')
    .option('--nr-data-blocks <number>', 'in place of the value in the dump')
    .option('-q, --quiet', 'print nothing')
    .addHelpText('after', example('thinfuse restore -i pool.xml', 'thinfuse restore -i pool.xml --replace'))
    .action(async (options: RestoreFlags, command: Command) => {
      const given = contextOf(command);
      const context = options.output === undefined ? given : { ...given, layout: rootLayout(options.output) };
      const overrides = overridesOf(options);
      const { restoreOffline } = await import('../daemon/offline-metadata.js');
      makeFilesPrivate();
      const report = await openWhenFree(() =>
        whileWorking(context, 'restoring', (say) =>
          restoreOffline(context.layout, told(piecesOf(options.input), say), {
            replace: options.replace === true,
            overrides,
          }),
        ),
      );
      if (options.quiet === true) return;
      if (report.strayChunks > 0)
        note(
          `${report.strayChunks} chunks are kept that no device maps; remove them with: thinfuse check --auto-repair${rootFlag(context)}`,
        );
      printResult(
        context,
        report,
        `restored ${report.devices} devices, ${report.mappedChunks} chunks mapped`,
      );
    });
}

/** @throws ThinError invalid-argument */
function overridesOf({ transactionId, dataBlockSize, nrDataBlocks }: RestoreFlags): Record<string, number> {
  return {
    ...(transactionId !== undefined && { transaction: parseCount(transactionId, '--transaction-id') }),
    ...(dataBlockSize !== undefined && { dataBlockSize: parseCount(dataBlockSize, '--data-block-size') }),
    ...(nrDataBlocks !== undefined && { dataBlocks: parseCount(nrDataBlocks, '--nr-data-blocks') }),
  };
}

function registerRepair(program: Command): void {
  withSuperblockOptions(
    withKernelOption(
      program
        .command('repair')
        .summary('make a new pool of the sound parts of a damaged one')
        .description(
          "Copies every device, mapping and chunk that can be read and is as it was written into a new root, and lists what was lost. Changes nothing in the damaged pool. Only while no daemon runs. With --metadata, does what thin_repair 0.9 does: new metadata of the kernel's in a file or device.",
        )
        .option(
          '-o, --output <path>',
          'root of the new pool: a folder that is empty or missing; with --metadata, a file or device that is large enough',
        )
        .option('--accept-older', 'keep a pool that lacks its last commits, in its place and as it is')
        .option(
          '--accept-data',
          "write both labels of a direct pool's disk again, if a filesystem of the pool is found on it",
        )
        .option('--force', 'with --accept-data: also if none is found'),
    ),
  )
    .addHelpText(
      'after',
      example(
        'thinfuse repair --output /var/lib/thinfuse-new',
        'thinfuse repair --accept-older',
        'thinfuse repair --accept-data',
        'thinfuse repair --metadata broken --output mended',
      ),
    )
    .action(async (options: RepairFlags, command: Command) => {
      const context = contextOf(command);
      requireKernel(options, {
        '--transaction-id': options.transactionId,
        '--data-block-size': options.dataBlockSize,
        '--nr-data-blocks': options.nrDataBlocks,
      });
      if (isKernel(options)) {
        if (options.output === undefined)
          throw new ThinError(
            'invalid-argument',
            'repair --metadata writes new metadata; give --output FILE',
          );
        const { repairKernelMetadata } = await import('./kernel/repair.js');
        await repairKernelMetadata(context, options, options.output, kernelOverridesOf(options));
        return;
      }
      const ways = [options.output !== undefined, options.acceptOlder === true, options.acceptData === true];
      if (ways.filter(Boolean).length !== 1)
        throw new ThinError(
          'invalid-argument',
          'repair takes one of --output NEW-ROOT, --accept-older and --accept-data',
        );
      if (options.output !== undefined) await repairInto(context, options.output);
      else if (options.acceptOlder === true) await accept(context);
      else await takeData(context, options.force === true);
    });
}

async function takeData(context: Context, force: boolean): Promise<void> {
  const [{ acceptData }, { ChildProcessExec }] = await Promise.all([
    import('../daemon/accept-data.js'),
    import('../host/exec.js'),
  ]);
  const accepted = await openWhenFree(() =>
    whileWorking(context, 'looking at the data', () =>
      acceptData(context.layout, { force, exec: new ChildProcessExec() }),
    ),
  );
  const { path, found, written } = accepted;
  const evidence = found === undefined ? '' : `: the filesystem of ${found} is where the pool has it`;
  printResult(
    context,
    accepted,
    written
      ? `${path} is taken as the data of the pool${evidence}; both labels are written again. Check what is in your devices: what wrote over the labels may have written over chunks, too`
      : `${path} carries the label of the pool; nothing was to be done`,
  );
}

async function repairInto(context: Context, output: string): Promise<void> {
  const { repairOffline } = await import('../daemon/offline-repair.js');
  makeFilesPrivate();
  const report = await openWhenFree(() =>
    whileWorking(context, 'repairing', () => repairOffline(context.layout, output)),
  );
  if (context.json) {
    printJson({ root: rootLayout(output).root, ...report });
    return;
  }
  if (report.data !== undefined)
    note(
      `the data stays in ${report.data}, which both roots name now: start only ${output}, and remove the other`,
    );
  for (const { path, problem } of report.lost) print(`lost: ${path}: ${problem}`);
  print(
    `${report.devices} devices and ${report.chunks} chunks are now in ${output}: ${report.lost.length === 0 ? 'nothing was lost' : `${report.lost.length} things were lost`}`,
  );
}

async function accept(context: Context): Promise<void> {
  const { acceptOlder } = await import('../daemon/offline-repair.js');
  makeFilesPrivate();
  const { older, ...report } = await openWhenFree(() =>
    whileWorking(context, 'looking at the pool', () => acceptOlder(context.layout)),
  );
  if (older !== undefined && !context.json) {
    note(`the pool lacks ${missingCommits(older)}`);
    if (report.direct)
      note(
        'the data is as it was written last: blocks that the missing commits gave to other devices now show the content of those',
      );
  }
  if (report.leftLog && !context.json)
    note(
      'its log follows the commits that are missing, and is left out with them; `thinfuse repair --output NEW-ROOT` takes it along, as long as the pool was not started',
    );
  else if (report.log !== undefined && !context.json)
    note(`${report.log}; the next start takes what can be read of it`);
  const isWhole = older === undefined && report.log === undefined;
  const state = `as of transaction ${report.transactionId}`;
  printResult(
    context,
    { older, ...report },
    isWhole
      ? `the pool has every commit that was acknowledged, ${state}`
      : `the pool is taken as it is, ${state}; look at what it holds with: thinfuse check${rootFlag(context)}`,
  );
}
