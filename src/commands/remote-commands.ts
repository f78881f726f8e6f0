import type { Command } from 'commander';
import { contextOf } from './context.js';
import { example } from './example.js';
import { KEY_OPTION, URL_HELP, type KeyFlags } from './remote-flags.js';

export interface CheckFlags extends KeyFlags {
  readonly data?: boolean;
}

export interface GcFlags {
  readonly grace: string;
}

export function registerRemoteCommands(program: Command): void {
  const remote = program.command('remote').summary('images in an object store or a registry');
  remote
    .command('ls')
    .summary('what tags there are, and what they lead to')
    .description(
      'Lists tags with the size of their device, and what their packs take in the store: all of them, and those that no other tag needs.',
    )
    .argument('<url>', URL_HELP)
    .option(...KEY_OPTION)
    .addHelpText('after', example('thinfuse remote ls s3://images/debian'))
    .action(async (url: string, flags: KeyFlags, command: Command) => {
      const { runRemoteList } = await import('./run-remote.js');
      await runRemoteList(contextOf(command), url, flags);
    });

  remote
    .command('rm')
    .summary('take tags away')
    .description(
      'Takes tags away. What only they led to stays until thinfuse remote gc, or in a registry until its own collection.',
    )
    .argument('<url...>', 'with :TAG')
    .addHelpText('after', example('thinfuse remote rm s3://images/debian:11'))
    .action(async (urls: readonly string[], _flags: unknown, command: Command) => {
      const { runRemoteRemove } = await import('./run-remote.js');
      await runRemoteRemove(contextOf(command), urls);
    });

  remote
    .command('check')
    .summary('look whether all that images need is there')
    .description(
      'Looks for all that an image needs, or the images of all tags; with --data it reads and verifies everything. Ends with 7 where something is not well.',
    )
    .argument('<url>', URL_HELP)
    .option('--data', 'read every pack, and verify every block')
    .option(...KEY_OPTION)
    .addHelpText('after', example('thinfuse remote check --data s3://images/debian'))
    .action(async (url: string, flags: CheckFlags, command: Command) => {
      const { runRemoteCheck } = await import('./run-remote.js');
      await runRemoteCheck(contextOf(command), url, flags);
    });

  remote
    .command('gc')
    .summary('give back what no tag leads to')
    .description(
      'Marks what no tag leads to and nobody is pushing or pulling, and removes what was marked for longer than the grace. Safe beside pushes and pulls of any host; run it once a day, say.',
    )
    .argument('<url>', 's3://BUCKET/PREFIX; a registry collects by itself')
    .option('--grace <hours>', 'how long something stays after it was found without use', '24')
    .addHelpText('after', example('thinfuse remote gc s3://images/debian'))
    .action(async (url: string, flags: GcFlags, command: Command) => {
      const { runRemoteCollect } = await import('./run-remote.js');
      await runRemoteCollect(contextOf(command), url, flags);
    });
}
