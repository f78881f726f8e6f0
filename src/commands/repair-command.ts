import type { Command } from 'commander';
import { rootLayout } from '../config/root-layout.js';
import { openWhenFree } from '../daemon/open-when-free.js';
import { ThinError } from '../errors/thin-error.js';
import { makeFilesPrivate } from '../host/private-files.js';
import { missingCommits } from '../store/marked-store.js';
import { contextOf, rootFlag, type Context } from './context.js';
import { example } from './example.js';
import { isKernel, withKernelOption, type KernelFlags } from './kernel/flags.js';
import {
  kernelOverridesOf,
  requireKernelSuperblock,
  withSuperblockOptions,
  type SuperblockFlags,
} from './kernel/superblock-flags.js';
import { note, print, printJson, printResult } from './output.js';
import { whileWorking } from './progress.js';

interface RepairFlags extends KernelFlags, SuperblockFlags {
  readonly output?: string;
  readonly acceptOlder?: boolean;
  readonly acceptData?: boolean;
  readonly force?: boolean;
}

export function registerRepairCommand(program: Command): void {
  withSuperblockOptions(
    withKernelOption(
      program
        .command('repair')
        .summary('make a new pool of the sound parts of a damaged one')
        .description(
          "Copies every sound device, mapping and chunk into a new root, and lists the losses. Changes nothing in the damaged pool. Only while no daemon runs. With --metadata, does what thin_repair 0.9 does: new metadata of the kernel's in a file or device.",
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
    'with --metadata, in place of the value in the superblock',
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
      requireKernelSuperblock(options);
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
      ? `${path} is taken as the data of the pool${evidence}; both labels are written again. Check your devices: the program that overwrote the labels may have overwritten chunks, too`
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
        'the data is newer than the metadata: a block that the missing commits gave to another device now shows the content of that device',
      );
  }
  if (report.leftLog && !context.json)
    note(
      'the log of the pool continues the missing commits, so it is left out, too; `thinfuse repair --output NEW-ROOT` can use it until the pool is started',
    );
  else if (report.log !== undefined && !context.json)
    note(`${report.log}; the next start takes over the readable part`);
  const isWhole = older === undefined && report.log === undefined;
  const state = `as of transaction ${report.transactionId}`;
  printResult(
    context,
    { older, ...report },
    isWhole
      ? `the pool has every commit that was acknowledged, ${state}`
      : `the pool is taken as it is, ${state}; check it with: thinfuse check${rootFlag(context)}`,
  );
}
