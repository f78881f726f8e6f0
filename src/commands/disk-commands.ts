import { Option, type Command } from 'commander';
import type { DeviceStatus } from '../api/operations.js';
import { formatBinarySize } from '../config/sizes.js';
import { ChildProcessExec } from '../host/exec.js';
import { DISK_FORMATS, type DiskFormat } from '../transfer/import-disk.js';
import { withAccess, withPool } from './connect.js';
import { contextOf } from './context.js';
import { sizeOf } from './device-commands.js';
import { deviceJson } from './device-json.js';
import { example } from './example.js';
import { interruptible } from './interrupt.js';
import { note, printResult } from './output.js';
import { withProgress } from './progress.js';

export function registerDiskCommands(program: Command): void {
  const device = program.command('device').summary("disks: devices without a filesystem of thinfuse's");
  device
    .command('create')
    .summary('make a blank device')
    .description(
      'Makes a device of SIZE that is all zeroes and takes no space: for a filesystem of your own, a virtual machine, LVM. activate gives its image file, and mount mounts what you made on it.',
    )
    .argument('<id>')
    .requiredOption('--size <size>', 'such as 20G')
    .addHelpText(
      'after',
      example('thinfuse device create vm1 --size 20G && mkfs.ext4 $(thinfuse activate vm1)'),
    )
    .action(async (name: string, options: { size: string }, command: Command) => {
      const context = contextOf(command);
      const made = await withPool(context, async (caller): Promise<DeviceStatus> => {
        const { baseFilesystem } = await caller.call('pool.info', {});
        return caller.call('device.createThin', {
          ...{ name, kind: 'snapshot', size: sizeOf(options.size)!, filesystem: baseFilesystem },
          content: 'raw',
        });
      });
      printResult(context, deviceJson(made), made.name);
    });

  program
    .command('import')
    .summary('make a device of an image of a disk')
    .description(
      'Makes a device of a raw or qcow2 image, such as a virtual machine has. Zeroes in it take no space. Needs qemu-img.',
    )
    .argument('<id>', 'the device to make')
    .argument('<file>')
    .addOption(
      new Option('--format <format>', 'the format of the file; default: as its first bytes say').choices(
        DISK_FORMATS,
      ),
    )
    .option('--size <size>', 'a size larger than the disk has')
    .option('--image', 'make an image of it, which does not change and containers start from')
    .addHelpText(
      'after',
      example(
        'thinfuse import debian-disk debian-12-genericcloud-amd64.qcow2 --image',
        'thinfuse clone debian-disk vm1 vm2 && qemu-system-x86_64 -drive file=$(thinfuse activate vm1),format=raw',
      ),
    )
    .action(async (name: string, file: string, options: ImportFlags, command: Command) => {
      const context = contextOf(command);
      const { DiskImage } = await import('../transfer/import-disk.js');
      const exec = new ChildProcessExec();
      const imported = await interruptible(async (signal) => {
        const disk = await DiskImage.at(exec, file, options.format);
        return withAccess(context, (access) =>
          withProgress(context, 'importing', (onProgress) =>
            disk.into(
              access,
              { name, size: sizeOf(options.size), kind: options.image === true ? 'image' : 'snapshot' },
              { signal, onProgress, onNote: note },
            ),
          ),
        );
      });
      printResult(context, imported, `${imported.name}: a disk of ${formatBinarySize(imported.size)}`);
    });
}

interface ImportFlags {
  readonly format?: DiskFormat;
  readonly size?: string;
  readonly image?: boolean;
}
