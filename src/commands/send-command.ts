import type { Command } from 'commander';
import { contextOf } from './context.js';
import { example } from './example.js';

export interface SendFlags {
  readonly since?: string;
  readonly resume?: string;
}

export function registerSendCommand(program: Command): void {
  program
    .command('send')
    .summary('write a device, or what changed in it, for another pool')
    .description(
      'Writes the blocks of a device to standard output, as it is at this moment, for thinfuse receive. With --since, only those that differ from a device of this pool that the other pool has, too.',
    )
    .argument('<id>', 'the device')
    .option('--since <snapshot>', 'the device that the other side has already, with the same content')
    .option('--resume <place>', 'go on where thinfuse receive --keep-partial was cut off')
    .addHelpText(
      'after',
      example(
        'thinfuse send web-monday | ssh backup thinfuse receive',
        'thinfuse send web-tuesday --since web-monday | ssh backup thinfuse receive',
      ),
    )
    .action(async (name: string, flags: SendFlags, command: Command) => {
      const { runSend } = await import('./run-send.js');
      await runSend(contextOf(command), name, flags);
    });
}
