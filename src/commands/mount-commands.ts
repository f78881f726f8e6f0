import path from 'node:path';
import type { Command } from 'commander';
import { formatBinarySize } from '../config/sizes.js';
import { ThinError } from '../errors/thin-error.js';
import type { Caller, TrimResult } from '../api/operations.js';
import { trimAll } from '../api/trim-all.js';
import { withDaemon } from './connect.js';
import { contextOf } from './context.js';
import { example } from './example.js';
import {
  mountAsk,
  permissionsOf,
  withMountFlags,
  withPermissionFlags,
  type MountFlags,
  type PermissionFlags,
} from './mount-flags.js';
import { forChosen } from './many-devices.js';
import { note, print, printJson } from './output.js';
import { whileWorking } from './progress.js';

export function registerMountCommands(program: Command): void {
  program
    .command('activate')
    .summary('make image files of devices appear')
    .description('Prints the path of each image file, which any program can use as a disk.')
    .argument('[id...]')
    .option('--all', 'every device that is not active')
    .addHelpText('after', example('qemu-system-x86_64 -drive file=$(thinfuse activate vm1),format=raw'))
    .action(async (names: readonly string[], options: AllOption, command: Command) => {
      await forChosen(
        command,
        { names, ...options },
        {
          fits: ({ active }) => !active,
          work: async (caller, name) => {
            const { path, lacks } = await caller.call('activate', { name });
            return { name, path, lacks };
          },
          tell: ({ path }) => print(path),
        },
      );
    });

  program
    .command('deactivate')
    .summary('remove image files of devices')
    .description(
      'Commits all writes and removes the image file. If the file is open, it is removed when the last user closes it.',
    )
    .argument('[id...]')
    .option('--all', 'every device that is active and not mounted')
    .addHelpText('after', example('thinfuse deactivate vm1'))
    .action(async (names: readonly string[], options: AllOption, command: Command) => {
      await forChosen(
        command,
        { names, ...options },
        {
          fits: ({ active, mountPoint }) => active && mountPoint === undefined,
          work: async (caller, name) => ({ name, ...(await caller.call('deactivate', { name })) }),
          tell: ({ name, deferred }) => {
            if (deferred) note(`a program has ${name} open; the daemon deactivates it after its last user`);
          },
        },
      );
    });

  withPermissionFlags(
    withMountFlags(
      program
        .command('mount')
        .summary("mount devices' filesystems")
        .description(
          'Mounts a device on TARGET, or each of several devices on mnt/ID in the root, and prints the mount points. The files are in rootfs/ there, unless the image was made with --plain. A second word is a target if it has a slash or names no device.',
        )
        .argument('[id]')
        .argument('[more...]', 'more devices, or the folder to mount it on, which is made if it is missing')
        .option('--ro', 'read-only; images are always mounted so')
        .option('--all', 'every container and snapshot that is not mounted')
        .option('--automount', 'at each start of the daemon, too'),
    ),
  )
    .addHelpText(
      'after',
      example(
        'cd $(thinfuse mount web1)/rootfs',
        'thinfuse mount --ro debian /mnt',
        'thinfuse mount ci-{1..20}',
        'thinfuse mount db /srv/db --owner 999:999 -o noatime --automount',
      ),
    )
    .action(
      async (first: string | undefined, more: readonly string[], options: MountOptions, command: Command) => {
        const words = first === undefined ? [] : [first, ...more];
        const context = contextOf(command);
        const ask = mountAsk(options);
        const permissions = permissionsOf(options);
        const { names, target } = await withDaemon(context, (caller) => targetOf(caller, words));
        if (target !== undefined && ask.allowOther)
          throw new ThinError('invalid-argument', '--allow-other is only for a mount without TARGET');
        const { readOnly } = ask;
        await forChosen(
          command,
          { names, all: options.all },
          {
            fits: ({ kind, mountPoint }) => mountPoint === undefined && (kind !== 'image' || readOnly),
            work: async (caller, name) => {
              const mounted = await caller.call('mount', {
                ...{ name, target, readOnly, permissions },
                // A daemon of before knows neither.
                ...(ask.options !== '' && { options: ask.options }),
                ...(ask.allowOther && { allowOther: true }),
              });
              if (options.automount === true)
                await caller.call('device.automount', { name, automount: { ...ask, target: target ?? '' } });
              return { name, ...mounted, lacks: mounted.lacks };
            },
            tell: ({ path }) => print(path),
          },
        );
      },
    );

  program
    .command('umount')
    .alias('unmount')
    .summary("unmount devices' filesystems")
    .description(
      'Unmounts devices, by their names or where they are mounted, and detaches their loop devices. Refused while a process works in one.',
    )
    .argument('[id...]', 'a device, or its mount point')
    .option('--all', 'every device that is mounted')
    .addHelpText('after', example('thinfuse umount web1', 'thinfuse umount --all'))
    .action(async (words: readonly string[], options: AllOption, command: Command) => {
      const names = await withDaemon(contextOf(command), (caller) => mountedAt(caller, words));
      await forChosen(
        command,
        { names, ...options },
        {
          fits: ({ mountPoint }) => mountPoint !== undefined,
          work: async (caller, name) => {
            await caller.call('umount', { name });
            return { name };
          },
          tell: () => undefined,
        },
      );
    });

  program
    .command('trim')
    .summary('free the space of deleted files')
    .description(
      'Runs fstrim on a mounted device, or on all devices mounted for writing. The chunks of deleted files become free in the pool.',
    )
    .argument('[id]')
    .option('--all', 'every device that is mounted for writing')
    .addHelpText('after', example('thinfuse trim web1', 'thinfuse trim --all'))
    .action(async (name: string | undefined, options: { all?: boolean }, command: Command) => {
      const context = contextOf(command);
      if ((name === undefined) !== (options.all === true))
        throw new ThinError('invalid-argument', 'give the ID of a mounted device, or --all');
      const results = await whileWorking(context, 'trimming', (say) =>
        withDaemon(context, (caller) => (name === undefined ? trimAll(caller, say) : trimOne(caller, name))),
      );
      if (context.json) printJson(results);
      else for (const result of results) print(trimLine(result));
    });
}

interface AllOption {
  readonly all?: boolean;
}

interface MountOptions extends AllOption, MountFlags, PermissionFlags {
  readonly automount?: boolean;
}

/** Two words are two devices, or one and where to mount it: a path, or what names no device. */
async function targetOf(
  caller: Caller,
  words: readonly string[],
): Promise<{ readonly names: readonly string[]; readonly target: string | undefined }> {
  const [name, second] = words;
  if (name === undefined || second === undefined || words.length > 2 || !(await isTarget(caller, second)))
    return { names: words, target: undefined };
  return { names: [name], target: path.resolve(second) };
}

/** Words with a slash are mount points. @throws ThinError not-found: no device is mounted there */
async function mountedAt(caller: Caller, words: readonly string[]): Promise<readonly string[]> {
  if (!words.some((word) => word.includes('/'))) return words;
  const devices = await caller.call('device.list', {});
  return words.map((word) => {
    if (!word.includes('/')) return word;
    const place = path.resolve(word);
    const found = devices.find(({ mountPoint }) => mountPoint === place);
    if (found !== undefined) return found.name;
    throw new ThinError(
      'not-found',
      `no device of the pool is mounted on ${place}; thinfuse ls shows what is`,
    );
  });
}

async function isTarget(caller: Caller, word: string): Promise<boolean> {
  if (word.includes('/') || word.startsWith('.')) return true;
  try {
    await caller.call('device.get', { name: word });
    return false;
  } catch (error) {
    if (error instanceof ThinError && ['not-found', 'invalid-argument'].includes(error.code)) return true;
    throw error;
  }
}

async function trimOne(caller: Caller, name: string): Promise<readonly TrimResult[]> {
  return [await caller.call('trim', { name })];
}

function trimLine({ name, trimmed, freed }: TrimResult): string {
  return `${name}: ${formatBinarySize(freed)} given back (${formatBinarySize(trimmed)} trimmed)`;
}
