import { isatty } from 'node:tty';
import { Option, type Command } from 'commander';
import type { DumpFormat } from '../thin-tools/dump-words.js';
import { writePieces } from '../transfer/text-file.js';
import { withMetadata } from './connect.js';
import { contextOf } from './context.js';
import { example } from './example.js';
import { isKernel, requireKernel, withKernelOption, type KernelFlags } from './kernel/flags.js';
import {
  kernelOverridesOf,
  requireKernelSuperblock,
  withSuperblockOptions,
  type SuperblockFlags,
} from './kernel/superblock-flags.js';
import { printJson, printPieces } from './output.js';
import { told, whileWorking } from './progress.js';
import { repeatedText } from './repeated.js';
import {
  kernelSnapshotOf,
  parseCount,
  snapshotOf,
  withSnapshotOption,
  type SnapshotFlag,
} from './snapshot-option.js';

interface DumpFlags extends SnapshotFlag, KernelFlags, SuperblockFlags {
  readonly format: 'xml' | 'human_readable' | 'human';
  readonly output?: string;
  readonly repair?: boolean;
  readonly devId?: readonly string[];
  readonly skipMappings?: boolean;
  readonly plain?: boolean;
}

export function registerDumpCommand(program: Command): void {
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
    'with --metadata, in place of the value in the superblock',
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
      requireKernelSuperblock(options);
      requireKernel(options, { 'a second --dev-id': devId?.[1] });
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
