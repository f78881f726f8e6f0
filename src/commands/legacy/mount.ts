import { Option, type Command } from 'commander';
import type { TransportKind } from '../../fuse/transport.js';
import { contextOf } from '../context.js';
import { example } from '../example.js';
import { withSource, type SourceFlags } from './flags.js';

export interface MountOptions extends SourceFlags {
  readonly image?: boolean;
  readonly foreground?: boolean;
  readonly notify?: boolean;
  readonly skipDamaged?: boolean;
  readonly size?: string;
  readonly transport: TransportKind;
}

export function registerLegacyMount(legacy: Command): void {
  withSource(
    legacy
      .command('mount')
      .summary('mount the filesystem of a device of an old pool')
      .description(
        'Mounts a device of an old pool read-only, its log left as it is. `umount TARGET` ends it and leaves nothing behind.',
      )
      .usage('[options] (PATH... | --metadata META --data DATA) DEVICE TARGET')
      .argument(
        '<operands...>',
        'PATHs, unless given by options, DEVICE and TARGET, which is made if it is not there',
      ),
  )
    .option('--image', 'show the device as an image file in TARGET, and mount no filesystem')
    .option('--foreground', 'stay until it is unmounted; a signal unmounts it')
    .option('--external-origin <file>', 'what the device shows where it maps nothing')
    .option('--skip-damaged', 'let what cannot be known or read be zeroes, and say where')
    .option('--size <size>', 'size of the device, where neither Docker nor its filesystem tells it')
    .addOption(
      new Option('--transport <kind>', 'how the kernel reaches the image file')
        .choices(['kernel', 'fuse-native'])
        .default('kernel'),
    )
    .addOption(new Option('--notify').hideHelp())
    .addHelpText(
      'after',
      example(
        'thinfuse legacy mount /var/lib/docker/devicemapper web1 /mnt && ls /mnt/rootfs; umount /mnt',
        'thinfuse legacy mount --metadata meta --data data 3 /mnt --image',
      ),
    )
    .action(async (operands: string[], options: MountOptions, command: Command) => {
      const { runLegacyMount } = await import('./run-mount.js');
      await runLegacyMount(contextOf(command), operands, options);
    });
}
