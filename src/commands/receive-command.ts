import type { Command } from 'commander';
import { contextOf } from './context.js';
import { example } from './example.js';

export interface ReceiveFlags {
  readonly base?: string;
  readonly keepPartial?: boolean;
}

export function registerReceiveCommand(program: Command): void {
  program
    .command('receive')
    .summary('make a device of what thinfuse send writes')
    .description(
      'Reads a stream of thinfuse send from standard input and makes a device of it. One that was cut off or changed, or whose base is not the one here, is refused and leaves nothing behind.',
    )
    .argument('[name]', 'what the device is called here; what it is called there otherwise')
    .option('--base <device>', 'the device here that is what --since was there, where it has another name')
    .option('--keep-partial', 'keep what came before a cut, to go on from there')
    .addHelpText(
      'after',
      example(
        'thinfuse send web-monday | ssh backup thinfuse receive',
        'thinfuse receive --keep-partial < web-monday.stream',
      ),
    )
    .action(async (name: string | undefined, flags: ReceiveFlags, command: Command) => {
      const { runReceive } = await import('./run-receive.js');
      await runReceive(contextOf(command), name, flags);
    });
}
