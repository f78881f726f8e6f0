import type { Command } from 'commander';
import { contextOf } from './context.js';
import { example } from './example.js';
import { KEY_OPTION, URL_HELP, type KeyFlags } from './remote-flags.js';

export interface PushFlags extends KeyFlags {
  /** False: --no-anchor. */
  readonly anchor: boolean;
}

export function registerPushCommand(program: Command): void {
  program
    .command('push')
    .summary('bring a device into an object store or a registry')
    .description(
      'Puts the blocks of a device, as it is at this moment, into an S3-compatible store or an OCI registry, and moves a tag to it (latest, where none is named). A device that is in use goes on. What the store has already is not sent; the device as it was pushed is kept, so that the next push reads and sends what differs.',
    )
    .argument('<id>', 'the device')
    .argument('<url>', URL_HELP)
    .option(...KEY_OPTION)
    .option('--no-anchor', 'do not keep the device as it was pushed: the next push reads all of it')
    .addHelpText(
      'after',
      example(
        'thinfuse push debian s3://images/debian:12',
        'thinfuse push db oci://registry.example.org/backup/db:monday --key-file /etc/thinfuse.key',
      ),
    )
    .action(async (name: string, url: string, flags: PushFlags, command: Command) => {
      const { runPush } = await import('./run-push.js');
      await runPush(contextOf(command), name, url, flags);
    });
}
