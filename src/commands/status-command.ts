import type { Command } from 'commander';
import { liveSettings } from '../config/live-settings.js';
import { withDaemon } from './connect.js';
import { contextOf } from './context.js';
import { example } from './example.js';
import { print, printJson } from './output.js';

export function registerStatusCommand(program: Command): void {
  program
    .command('status')
    .summary('show what the daemon does')
    .description(
      'Says whether a daemon runs and what it serves. --dm prints the status line that dmsetup prints for a thin pool.',
    )
    .option('--dm', "dm-thin's own status line")
    .addHelpText('after', example('thinfuse status --json', 'thinfuse status --dm'))
    .action(async (options: { dm?: boolean }, command: Command) => {
      const context = contextOf(command);
      const status = await withDaemon(context, (caller) => caller.call('status', {}));
      if (context.json) printJson(options.dm === true ? { dm: status.dm } : status);
      else if (options.dm === true) print(status.dm);
      else
        print(
          [
            `pid: ${status.pid}`,
            `started: ${new Date(status.startedAt).toISOString()}`,
            `root: ${status.root}`,
            `pool: ${status.pool}`,
            `transport: ${status.transport}`,
            `mode: ${status.mode}`,
            `transaction: ${status.transactionId}`,
            `devices: ${status.devices.total} (${status.devices.active} active, ${status.devices.mounted} mounted)`,
            ...Object.entries(liveSettings(status.settings)).map(([key, value]) => `${key}: ${value}`),
          ].join('\n'),
        );
    });
}
