import path from 'node:path';
import type { Command } from 'commander';
import { formatBinarySize } from '../config/sizes.js';
import { ThinError } from '../errors/thin-error.js';
import type { Caller, TrimResult } from '../api/operations.js';
import { withDaemon } from './connect.js';
import { contextOf } from './context.js';
import { example } from './example.js';
import { requireComplete } from './incomplete.js';
import { note, print, printJson, printResult } from './output.js';

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
      'Commits what was written and takes the image file away; while something has it open, as soon as that ends.',
    )
    .argument('<id>')
    .addHelpText('after', example('thinfuse deactivate vm1'))
    .action(async (name: string, _options: unknown, command: Command) => {
      const context = contextOf(command);
      const { deferred } = await withDaemon(context, (caller) => caller.call('deactivate', { name }));
      if (context.json) printJson({ name, deferred });
      else if (deferred) note(`something has ${name} open: it goes with its last user`);
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
      printResult(context, { name, ...mounted, lacks: mounted.lacks }, mounted.path);
      requireComplete(name, mounted);
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

  program
    .command('trim')
    .summary('give back the space of deleted files')
    .description(
      'Runs fstrim on a mounted device, or on all that are mounted for writing, so that what was deleted in them is free in the pool again.',
    )
    .argument('[id]')
    .option('--all', 'every device that is mounted for writing')
    .addHelpText('after', example('thinfuse trim web1', 'thinfuse trim --all'))
    .action(async (name: string | undefined, options: { all?: boolean }, command: Command) => {
      const context = contextOf(command);
      if ((name === undefined) !== (options.all === true))
        throw new ThinError('invalid-argument', 'give the ID of a mounted device, or --all');
      const results = await withDaemon(context, (caller) =>
        name === undefined ? trimAll(caller) : trimOne(caller, name),
      );
      if (context.json) printJson(results);
      else for (const result of results) print(trimLine(result));
    });
}

async function trimOne(caller: Caller, name: string): Promise<readonly TrimResult[]> {
  return [await caller.call('trim', { name })];
}

/** One that is unmounted meanwhile has nothing to give back. */
async function trimAll(caller: Caller): Promise<readonly TrimResult[]> {
  const results: TrimResult[] = [];
  for (const { name, mountPoint } of await caller.call('device.list', {})) {
    if (mountPoint === undefined) continue;
    try {
      results.push(await caller.call('trim', { name }));
    } catch (error) {
      if (!(error instanceof ThinError) || !['not-found', 'read-only'].includes(error.code)) throw error;
    }
  }
  return results;
}

function trimLine({ name, trimmed, freed }: TrimResult): string {
  return `${name}: ${formatBinarySize(freed)} given back (${formatBinarySize(trimmed)} trimmed)`;
}
