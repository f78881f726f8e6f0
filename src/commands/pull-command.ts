import { Option, type Command } from 'commander';
import { formatBinarySize } from '../config/sizes.js';
import { withAccess } from './connect.js';
import { contextOf, type Context } from './context.js';
import { example } from './example.js';
import { interruptible } from './interrupt.js';
import { note, printResult } from './output.js';
import { withProgress } from './progress.js';
import type { FullFrom } from '../remote/device-pull.js';
import { packVolumeRecord, volumeDeviceName } from '../volumes/volume-record.js';
import { KEY_OPTION, URL_HELP, type KeyFlags } from './remote-flags.js';

interface PullFlags extends KeyFlags {
  readonly as?: 'image' | 'snapshot' | 'container' | 'volume';
  readonly full?: boolean;
  readonly keepLabel?: boolean;
}

export function registerPullCommand(program: Command): void {
  program
    .command('pull')
    .summary('make a device of an image in an object store or a registry')
    .description(
      'Makes a device of an image that thinfuse push wrote. The device exists at once. A read of a missing part fetches, verifies and keeps it. thinfuse hydrate fetches the rest. With --full, fetches the whole image first, several parts at a time; an incomplete device has no name, and is removed when this command ends.',
    )
    .argument('<url>', URL_HELP)
    .argument('[name]', 'name of the device here; default: its name there')
    .addOption(
      new Option('--as <kind>', 'kind of the new device; default: its kind there').choices([
        'image',
        'snapshot',
        'container',
        'volume',
      ]),
    )
    .option('--full', 'fetch the whole image first')
    .option('--keep-label', 'also copy the label that a program keeps with the device, which a volume needs')
    .option(...KEY_OPTION)
    .addHelpText(
      'after',
      example(
        'thinfuse pull s3://images/debian:12',
        'thinfuse pull --full s3://images/debian:12 local',
        'thinfuse pull --as volume oci://registry.example.org/backup/db:monday db2',
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
  { keyFile, as: kind, keepLabel = false, full = false }: PullFlags,
): Promise<void> {
  const { DevicePull } = await import('../remote/device-pull.js');
  const as = kind === 'volume' ? { kind: 'snapshot' as const, as: asVolume } : { kind };
  const request = { ...as, name, keepLabel, onNote: note };
  const pulled = await interruptible((signal) =>
    withAccess(context, (access) => {
      const pull = new DevicePull(access);
      return full
        ? withImage(url, keyFile, (from) =>
            withProgress(context, 'pulling', (onProgress) =>
              pull.full(request, { ...from, signal, onProgress }),
            ),
          )
        : pull.lazy(request, { reference: url, keyFile, env: process.env });
    }),
  );
  printResult(
    context,
    { ...pulled, digest: `sha256:${pulled.digest}` },
    full
      ? `${pulled.name}: ${formatBinarySize(pulled.written)} written, ${formatBinarySize(pulled.fetched)} fetched`
      : `${pulled.name}: ${formatBinarySize(pulled.remote)} are fetched when they are read`,
  );
}

/** The command reads the store by itself, and the pool gets the bytes. */
async function withImage<T>(
  url: string,
  keyFile: string | undefined,
  work: (from: Pick<FullFrom, 'reader' | 'image' | 'codecs'>) => Promise<T>,
): Promise<T> {
  const { ImageReader } = await import('../remote/image-reader.js');
  const { withRemote } = await import('../remote/open-remote.js');
  return withRemote(url, keyFile, async (remote) => {
    const reader = new ImageReader(remote.store, remote.seal);
    const image = await reader.named(remote.name);
    return work({ reader, image, codecs: () => remote.codecs() });
  });
}

/** As container engines know it by the name. @throws ThinError invalid-argument */
function asVolume(name: string): { name: string; label: string } {
  const volume = name.replace(/^volume-/, '');
  return {
    name: volumeDeviceName(volume),
    label: packVolumeRecord({ name: volume, state: 'used', options: {} }),
  };
}
