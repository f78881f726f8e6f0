import type { Command } from 'commander';
import { formatBinarySize } from '../config/sizes.js';
import { ThinError, toThinError } from '../errors/thin-error.js';
import type { ReceiveRequest } from '../transfer/receive.js';
import { withAccess } from './connect.js';
import { contextOf, type Context } from './context.js';
import { example } from './example.js';
import { interruptible } from './interrupt.js';
import { note, printResult } from './output.js';
import { withProgress } from './progress.js';

interface ReceiveFlags {
  readonly since?: string;
  /** What `--since` was called. */
  readonly keepPartial?: boolean;
}

export function registerReceiveCommand(program: Command): void {
  program
    .command('receive')
    .summary('make a device of what thinfuse send writes')
    .description(
      'Reads a stream of thinfuse send from standard input and makes a device of it. Refuses a stream that was cut off or changed, or that changes a device which has other content here, and then leaves nothing behind.',
    )
    .argument('[name]', 'name of the device here; default: its name there')
    .option('--since <device>', 'the device here that has the content of --since there, if its name differs')
    .option('--keep-partial', 'keep what arrived before a cut, so that the transfer can resume')
    .addHelpText(
      'after',
      example(
        'thinfuse send web-monday | ssh backup thinfuse receive',
        'thinfuse receive --keep-partial < web-monday.stream',
      ),
    )
    .action(async (name: string | undefined, { since, keepPartial }: ReceiveFlags, command: Command) => {
      await receive(contextOf(command), { name, since, keepPartial });
    });
}

async function receive(context: Context, request: ReceiveRequest): Promise<void> {
  if (process.stdin.isTTY)
    throw new ThinError(
      'invalid-argument',
      'standard input is a terminal; redirect the output of thinfuse send into this command',
    );
  const { IncomingStream } = await import('../transfer/receive.js');
  await interruptible(async (signal) => {
    // The reader that waits for bytes gets the reason.
    signal.addEventListener('abort', () => process.stdin.destroy(toThinError(signal.reason)), { once: true });
    const stream = await IncomingStream.begin(process.stdin as AsyncIterable<Uint8Array>, request);
    await withAccess(context, async (access) => {
      const received = await withProgress(context, 'receiving', (onProgress) =>
        stream.into(access, { signal, onProgress, onNote: note }),
      );
      const { name, written } = received;
      printResult(context, received, `${name}: ${formatBinarySize(written)} received`);
    });
  });
}
