import type { Command } from 'commander';
import { formatBinarySize } from '../config/sizes.js';
import { withDaemon } from './connect.js';
import { contextOf, type Context } from './context.js';
import { example } from './example.js';
import { printResult } from './output.js';

export function registerHydrateCommand(program: Command): void {
  program
    .command('hydrate')
    .summary('fetch the rest of a pulled device')
    .description(
      'Fetches the missing parts of the image that the device was pulled as, or descends from, in the background. Reads go first. Continues after a restart of the daemon, and when the store is back.',
    )
    .argument('<name>', 'the device')
    .option('--wait', 'return when all of it is here')
    .addHelpText('after', example('thinfuse hydrate debian', 'thinfuse hydrate --wait debian'))
    .action(async (name: string, { wait = false }: { wait?: boolean }, command: Command) => {
      const context = contextOf(command);
      const left = await hydrate(context, name, wait);
      printResult(
        context,
        { name, remote: left },
        left === 0 ? `${name}: all of it is here` : `${name}: ${formatBinarySize(left)} are being fetched`,
      );
    });
}

/** Bytes that are left. */
async function hydrate(context: Context, name: string, wait: boolean): Promise<number> {
  const call = (): Promise<number> =>
    withDaemon(context, async (caller) => {
      const { remote = 0 } = await caller.call('device.hydrate', { name, wait });
      return remote;
    });
  if (!wait) return call();
  const { acrossDaemons } = await import('../daemon/daemon-end.js');
  return acrossDaemons(context.layout, call);
}
