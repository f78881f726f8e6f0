import { Option, type Command } from 'commander';
import { formatBinarySize } from '../config/sizes.js';
import { withAccess } from './connect.js';
import { contextOf, type Context } from './context.js';
import { example } from './example.js';
import { interruptible } from './interrupt.js';
import { note, printResult } from './output.js';
import { withProgress } from './progress.js';
import { KEY_OPTION, URL_HELP, type KeyFlags } from './remote-flags.js';

interface PullFlags extends KeyFlags {
  readonly as?: 'image' | 'snapshot';
  readonly full?: boolean;
  readonly keepLabel?: boolean;
}

export function registerPullCommand(program: Command): void {
  program
    .command('pull')
    .summary('make a device of an image in an object store or a registry')
    .description(
      'Makes a device of an image that thinfuse push wrote. Fetches the whole image, several parts at a time, and verifies each. An incomplete device has no name, and is removed when this command ends.',
    )
    .argument('<url>', URL_HELP)
    .argument('[name]', 'name of the device here; default: its name there')
    .addOption(
      new Option('--as <kind>', 'kind of the new device; default: its kind there').choices([
        'image',
        'snapshot',
      ]),
    )
    .option('--full', 'fetch the whole image first; so far there is no other way')
    .option('--keep-label', 'also copy the label that a program keeps with the device, which a volume needs')
    .option(...KEY_OPTION)
    .addHelpText(
      'after',
      example(
        'thinfuse pull s3://images/debian:12',
        'thinfuse pull oci://registry.example.org/backup/db:monday db2',
      ),
    )
    .action(async (url: string, name: string | undefined, flags: PullFlags, command: Command) => {
      await pull(contextOf(command), url, name, flags);
    });
}

async function pull(
  context: Context,
  url: string,
  name: string | undefined,
  { keyFile, as: kind, keepLabel = false }: PullFlags,
): Promise<void> {
  const { DevicePull } = await import('../remote/device-pull.js');
  const { ImageReader } = await import('../remote/image-reader.js');
  const { withRemote } = await import('../remote/open-remote.js');
  await interruptible((signal) =>
    withRemote(url, keyFile, async (remote) => {
      const reader = new ImageReader(remote.store, remote.seal);
      const image = await reader.named(remote.name);
      await withAccess(context, async (access) => {
        const pulled = await withProgress(context, 'pulling', (onProgress) =>
          new DevicePull(access, reader, remote.codecs()).run({
            ...{ image, name, kind, keepLabel, signal, onProgress },
            onNote: note,
          }),
        );
        printResult(
          context,
          { ...pulled, digest: `sha256:${image.digest}` },
          `${pulled.name}: ${formatBinarySize(pulled.written)} written, ${formatBinarySize(pulled.fetched)} fetched`,
        );
      });
    }),
  );
}
