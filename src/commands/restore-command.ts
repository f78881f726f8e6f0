import type { Command } from 'commander';
import { rootLayout } from '../config/root-layout.js';
import { openWhenFree } from '../daemon/open-when-free.js';
import { makeFilesPrivate } from '../host/private-files.js';
import { piecesOf } from '../transfer/text-file.js';
import { contextOf, rootFlag } from './context.js';
import { example } from './example.js';
import { superblockCounts, withSuperblockOptions, type SuperblockFlags } from './kernel/superblock-flags.js';
import { note, printResult } from './output.js';
import { told, whileWorking } from './progress.js';

interface RestoreFlags extends SuperblockFlags {
  readonly input: string;
  readonly output?: string;
  readonly replace?: boolean;
  readonly quiet?: boolean;
}

export function registerRestoreCommand(program: Command): void {
  const command = program
    .command('restore')
    .summary("rebuild the pool's metadata from a dump")
    .description(
      'Makes the metadata of the pool from a dump by thinfuse or thin_dump, around the chunks that the pool holds. Works if the pool lost its metadata, and with --replace on any pool. Refuses a dump that maps missing chunks. Needs a stopped daemon.',
    )
    .requiredOption('-i, --input <file>', 'the dump; - is standard input')
    .option('-o, --output <root>', 'the root of the pool, as --root')
    .option('--replace', 'also if the pool has readable metadata');
  withSuperblockOptions(command, 'in place of the value in the dump')
    .option('-q, --quiet', 'print nothing')
    .addHelpText('after', example('thinfuse restore -i pool.xml', 'thinfuse restore -i pool.xml --replace'))
    .action(async (options: RestoreFlags, command: Command) => {
      const given = contextOf(command);
      const context = options.output === undefined ? given : { ...given, layout: rootLayout(options.output) };
      const overrides = superblockCounts(options);
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
          `${report.strayChunks} chunks of the pool are mapped by no device; remove them with: thinfuse check --auto-repair${rootFlag(context)}`,
        );
      printResult(
        context,
        report,
        `restored ${report.devices} devices, ${report.mappedChunks} chunks mapped`,
      );
    });
}
