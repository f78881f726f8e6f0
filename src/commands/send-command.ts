import { isatty } from 'node:tty';
import type { Command } from 'commander';
import { ThinError } from '../errors/thin-error.js';
import { withAccess } from './connect.js';
import { contextOf, type Context } from './context.js';
import { example } from './example.js';
import { requireComplete } from './incomplete.js';
import { interruptible } from './interrupt.js';
import { withProgress } from './progress.js';
import { standardOutput } from './standard-stream.js';

interface SendFlags {
  readonly since?: string;
  readonly resume?: string;
}

export function registerSendCommand(program: Command): void {
  program
    .command('send')
    .summary('write a device, or its changes, for another pool')
    .description(
      'Writes the blocks of a device at this moment to standard output, for thinfuse receive. With --since, writes only the blocks that differ from a device that both pools have.',
    )
    .argument('<id>', 'the device')
    .option('--since <snapshot>', 'a device that the other pool has with the same content')
    .option('--resume <place>', 'continue where thinfuse receive --keep-partial was cut off')
    .addHelpText(
      'after',
      example(
        'thinfuse send web-monday | ssh backup thinfuse receive',
        'thinfuse send web-tuesday --since web-monday | ssh backup thinfuse receive',
      ),
    )
    .action(async (name: string, flags: SendFlags, command: Command) => {
      await send(contextOf(command), name, flags);
    });
}

async function send(context: Context, name: string, flags: SendFlags): Promise<void> {
  if (isatty(1))
    throw new ThinError(
      'invalid-argument',
      'a stream is not written to a terminal; redirect the output into thinfuse receive, ssh or a file',
    );
  const { Sender } = await import('../transfer/send.js');
  const { parsePoint } = await import('../transfer/stream-format.js');
  const { since } = flags;
  const from = flags.resume === undefined ? undefined : parsePoint(flags.resume);
  let lacks: string | undefined;
  await interruptible((signal) =>
    withAccess(context, (access) =>
      withProgress(context, 'sending', async (onProgress) => {
        const onLacks = (text: string): void => {
          lacks = text;
        };
        const sender = new Sender(access, { name, since, from, signal, onProgress, onLacks });
        for await (const bytes of sender.stream()) await standardOutput.stream(bytes);
      }),
    ),
  );
  requireComplete(name, { lacks });
}
