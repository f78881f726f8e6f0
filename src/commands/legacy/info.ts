import type { Command } from 'commander';
import { contextOf } from '../context.js';
import { example } from '../example.js';
import { withSource, type SourceFlags } from './flags.js';

export function registerLegacyInfo(legacy: Command): void {
  withSource(
    legacy
      .command('info')
      .summary('show what an old pool is, and what is damaged in it')
      .description(
        'Shows the superblock of an old pool and reads all of its metadata. Fails (7) if something is damaged.',
      )
      .usage('[options] (PATH... | --metadata META [--data DATA])')
      .argument('[path...]', 'a /var/lib/docker/devicemapper, or disks of LVM'),
  )
    .addHelpText('after', example('thinfuse legacy info /var/lib/docker/devicemapper'))
    .action(async (operands: string[], flags: SourceFlags, command: Command) => {
      const { runLegacyInfo } = await import('./run-info.js');
      await runLegacyInfo(contextOf(command), operands, flags);
    });
}
