import type { Command } from 'commander';
import { contextOf } from '../context.js';
import { example } from '../example.js';
import { withSource, type SourceFlags } from './flags.js';

export function registerLegacyList(legacy: Command): void {
  withSource(
    legacy
      .command('ls')
      .summary('list the devices of an old pool')
      .description(
        'Lists the thin devices of an old pool by number, with the names that Docker gave to their images and containers.',
      )
      .usage('[options] (PATH... | --metadata META [--data DATA])')
      .argument('[path...]', 'a /var/lib/docker/devicemapper, or disks of LVM'),
  )
    .addHelpText(
      'after',
      example(
        'thinfuse legacy ls /var/lib/docker/devicemapper',
        'thinfuse legacy ls --metadata /dev/vg/pool_tmeta --data /dev/vg/pool_tdata',
      ),
    )
    .action(async (operands: string[], flags: SourceFlags, command: Command) => {
      const { runLegacyList } = await import('./run-list.js');
      await runLegacyList(contextOf(command), operands, flags);
    });
}
