import path from 'node:path';
import type { Command } from 'commander';
import { withDaemon } from './connect.js';
import { contextOf } from './context.js';
import { example } from './example.js';
import { printJson, printResult } from './output.js';

export function registerMountCommands(program: Command): void {
  program
    .command('activate')
    .summary("make a device's image file appear")
    .description('Prints the path of the image file, which any program can use as a disk.')
    .argument('<id>')
    .addHelpText('after', example('qemu-system-x86_64 -drive file=$(thinfuse activate vm1),format=raw'))
    .action(async (name: string, _options: unknown, command: Command) => {
      const context = contextOf(command);
      const { path: file } = await withDaemon(context, (caller) => caller.call('activate', { name }));
      printResult(context, { name, path: file }, file);
    });

  program
    .command('deactivate')
    .summary("take a device's image file away")
    .description(
      'Commits what was written and takes the image file away. Refused while something has it open.',
    )
    .argument('<id>')
    .addHelpText('after', example('thinfuse deactivate vm1'))
    .action(async (name: string, _options: unknown, command: Command) => {
      const context = contextOf(command);
      await withDaemon(context, (caller) => caller.call('deactivate', { name }));
      if (context.json) printJson({ name });
    });

  program
    .command('mount')
    .summary("mount a device's filesystem")
    .description(
      'Mounts a device on TARGET, or on mnt/ID in the root, and prints where. Its files are in rootfs/ there.',
    )
    .argument('<id>')
    .argument('[target]', 'the folder to mount on; made if it is not there')
    .option('--ro', 'read-only; images are mounted in no other way')
    .addHelpText('after', example('cd $(thinfuse mount web1)/rootfs', 'thinfuse mount --ro debian /mnt'))
    .action(async (name: string, target: string | undefined, options: { ro?: boolean }, command: Command) => {
      const context = contextOf(command);
      const mounted = await withDaemon(context, (caller) =>
        caller.call('mount', {
          name,
          readOnly: options.ro === true,
          ...(target === undefined ? {} : { target: path.resolve(target) }),
        }),
      );
      printResult(context, { name, ...mounted }, mounted.path);
    });

  program
    .command('umount')
    .alias('unmount')
    .summary("unmount a device's filesystem")
    .description('Unmounts a device and lets go of its loop device. Refused while a process works in it.')
    .argument('<id>')
    .addHelpText('after', example('thinfuse umount web1'))
    .action(async (name: string, _options: unknown, command: Command) => {
      const context = contextOf(command);
      await withDaemon(context, (caller) => caller.call('umount', { name }));
      if (context.json) printJson({ name });
    });
}
