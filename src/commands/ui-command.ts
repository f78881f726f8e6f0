import type { Command } from 'commander';
import { withDaemon } from './connect.js';
import { contextOf } from './context.js';
import { example } from './example.js';
import { printResult } from './output.js';

export function registerUiCommand(program: Command): void {
  program
    .command('ui')
    .summary('serve a page that shows the pool')
    .description(
      'Makes the daemon serve a page that shows the pool: its space, the lineage of its devices, I/O of the last 24 hours, events. Prints the address, which works until the daemon ends. The page changes nothing. On an address that other machines can reach, the address contains a token.',
    )
    .option('--listen <address>', '[HOST:]PORT; default: 127.0.0.1 and a free port')
    .addHelpText('after', example('thinfuse ui', 'thinfuse ui --listen 127.0.0.1:9190'))
    .action(async (options: { listen?: string }, command: Command) => {
      const context = contextOf(command);
      const { url } = await withDaemon(context, (caller) => caller.call('ui.open', options));
      printResult(context, { url }, url);
    });
}
