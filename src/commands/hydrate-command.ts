import type { Command } from 'commander';
import { formatBinarySize } from '../config/sizes.js';
import { withDaemon } from './connect.js';
import { contextOf } from './context.js';
import { example } from './example.js';
import { printResult } from './output.js';

export function registerHydrateCommand(program: Command): void {
  program
    .command('hydrate')
    .summary('fetch the rest of a pulled device')
    .description(
      'Fetches in the background what is not here of the image that the device was pulled as, or is made of. Reads go first. Continues after a restart of the daemon, and when the store is back.',
    )
    .argument('<name>', 'the device')
    .option('--wait', 'return when all of it is here')
    .addHelpText('after', example('thinfuse hydrate debian', 'thinfuse hydrate --wait debian'))
    .action(async (name: string, { wait = false }: { wait?: boolean }, command: Command) => {
      const context = contextOf(command);
      await withDaemon(context, async (caller) => {
        const device = await caller.call('device.hydrate', { name, wait });
        const left = device.remote ?? 0;
        printResult(
          context,
          { name, remote: left },
          left === 0 ? `${name}: all of it is here` : `${name}: ${formatBinarySize(left)} are being fetched`,
        );
      });
    });
}
