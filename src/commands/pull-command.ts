import { Option, type Command } from 'commander';
import { contextOf } from './context.js';
import { example } from './example.js';
import { KEY_OPTION, URL_HELP, type KeyFlags } from './remote-flags.js';

export interface PullFlags extends KeyFlags {
  readonly as?: 'image' | 'snapshot';
  readonly full?: boolean;
  readonly keepLabel?: boolean;
}

export function registerPullCommand(program: Command): void {
  program
    .command('pull')
    .summary('make a device of an image in an object store or a registry')
    .description(
      'Makes a device of what thinfuse push has brought there. All of it is fetched first, many pieces at a time, and each is verified; a device that is not whole has no name and goes when its maker does.',
    )
    .argument('<url>', URL_HELP)
    .argument('[name]', 'what the device is called here; what it is called there otherwise')
    .addOption(
      new Option('--as <kind>', 'what becomes of it; what it was otherwise').choices(['image', 'snapshot']),
    )
    .option('--full', 'fetch everything first; so far there is no other way')
    .option('--keep-label', 'what a program kept with the device there comes with it, as a volume needs it')
    .option(...KEY_OPTION)
    .addHelpText(
      'after',
      example(
        'thinfuse pull s3://images/debian:12',
        'thinfuse pull oci://registry.example.org/backup/db:monday db2',
      ),
    )
    .action(async (url: string, name: string | undefined, flags: PullFlags, command: Command) => {
      const { runPull } = await import('./run-pull.js');
      await runPull(contextOf(command), url, name, flags);
    });
}
