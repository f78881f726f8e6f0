import type { Command } from 'commander';
import type { Caller, Operations } from '../api/operations.js';
import { formatBinarySize, parseSize } from '../config/sizes.js';
import type { DeviceKind } from '../pool/info.js';
import { withPool } from './connect.js';
import { contextOf, type Context } from './context.js';
import { deviceJson } from './device-json.js';
import { example } from './example.js';
import { requireKind } from '../api/kinds.js';
import { forEach, throwFirst } from './many-devices.js';
import { note, printJson, printResult, print } from './output.js';
import { asking, whileWorking } from './progress.js';
import { withToolProgress } from './tool-progress.js';

export function registerDeviceCommands(program: Command): void {
  program
    .command('snapshot')
    .alias('snap')
    .summary('take a snapshot of any device')
    .description(
      'Makes NEW a writable snapshot of ORIGIN, at once and for any size. Freezes a mounted origin meanwhile.',
    )
    .argument('<new>', 'name of the snapshot')
    .argument('<origin>', 'the device it starts from; "base" is the empty filesystem')
    .option('--size <size>', 'a size larger than the origin has; the filesystem grows at the first mount')
    .option('--quota <size>', QUOTA_HELP)
    .option('--limit <size>', LIMIT_HELP)
    .option('--ro', 'one that does not change: an image, which is mounted with --ro alone')
    .addHelpText(
      'after',
      example('thinfuse snapshot db-before-upgrade db', 'thinfuse snapshot --ro db-monday db'),
    )
    .action(async (name: string, origin: string, options: SizeOptions & { ro?: boolean }, command: Command) =>
      create(contextOf(command), {
        name,
        origin,
        kind: options.ro === true ? 'image' : 'snapshot',
        ...sizesOf(options),
      }),
    );

  program
    .command('rollback')
    .summary('take a device back to a snapshot')
    .description(
      'Replaces the content of DEVICE by the content of SNAPSHOT, at once. The old content of DEVICE is lost, unless a snapshot has it. Unmount DEVICE first. SNAPSHOT stays.',
    )
    .argument('<device>')
    .argument('<snapshot>')
    .addHelpText('after', example('thinfuse umount db && thinfuse rollback db db-before-upgrade'))
    .action(async (name: string, to: string, _options: unknown, command: Command) => {
      const context = contextOf(command);
      const device = await withPool(context, (caller) => caller.call('device.rollback', { name, to }));
      printResult(context, deviceJson(device), device.name);
    });

  program
    .command('wait')
    .summary('wait until the space of removed devices has come back')
    .description('Returns when no removed device holds space any more.')
    .addHelpText('after', example('thinfuse rm scratch && thinfuse wait && thinfuse df'))
    .action(async (_options: unknown, command: Command) => {
      const context = contextOf(command);
      await withPool(context, (caller) => settle(context, caller));
      if (context.json) printJson({ pendingDeletes: 0 });
    });

  program
    .command('rename')
    .summary('rename a device')
    .description('Renames a device that is neither mounted nor active.')
    .argument('<id>')
    .argument('<new>')
    .addHelpText('after', example('thinfuse rename db-before-upgrade db-2024'))
    .action(async (name: string, to: string, _options: unknown, command: Command) => {
      const context = contextOf(command);
      const device = await withPool(context, (caller) => caller.call('device.rename', { name, to }));
      printResult(context, deviceJson(device), device.name);
    });

  program
    .command('grow')
    .summary('make a device larger')
    .description(
      'Grows a device. A mounted filesystem grows at once, any other at its next mount. Devices do not shrink. While a growth takes long, the terminal and thinfuse events show its progress.',
    )
    .argument('<id>')
    .argument('<size>', 'the new size, such as 20G, or the size to add: +5G')
    .addHelpText('after', example('thinfuse grow db 20G', 'thinfuse grow db +5G'))
    .action(async (name: string, text: string, _options: unknown, command: Command) => {
      const context = contextOf(command);
      const added = text.startsWith('+');
      const given = parseSize(added ? text.slice(1) : text);
      const device = await withPool(context, async (caller) => {
        const { size, mountPoint: place } = await caller.call('device.get', { name });
        return whileWorking(context, `growing ${name}`, (onProgress) =>
          withToolProgress(caller, { place, onProgress }, () =>
            caller.call('device.grow', { name, size: (added ? size : 0) + given }),
          ),
        );
      });
      printResult(context, deviceJson(device), device.name);
    });

  program
    .command('quota')
    .summary('limit the space that a device may take')
    .description(
      'Writers get ENOSPC if the device would map more than SIZE. Chunks that it shares with its origin count. "none" removes the limit.',
    )
    .argument('<id>')
    .argument('<size>', 'such as 5G, or none')
    .addHelpText('after', example('thinfuse quota web1 5G', 'thinfuse quota web1 none'))
    .action(async (name: string, text: string, _options: unknown, command: Command) => {
      const context = contextOf(command);
      const quota = text === 'none' ? 0 : parseSize(text, 'the quota');
      const device = await withPool(context, (caller) => caller.call('device.quota', { name, quota }));
      printResult(context, deviceJson(device), device.name);
    });

  program
    .command('limit')
    .summary('limit the size of the files in a device')
    .description(
      'The filesystem of the device holds at most SIZE while thinfuse has it mounted. Beyond that, write answers ENOSPC; df shows the rest. A mounted filesystem follows at once. "none" removes the limit.',
    )
    .argument('<id>')
    .argument('<size>', 'such as 5G, or none')
    .addHelpText('after', example('thinfuse limit web1 5G', 'thinfuse limit web1 none'))
    .action(async (name: string, text: string, _options: unknown, command: Command) => {
      const context = contextOf(command);
      const limit = text === 'none' ? 0 : parseSize(text, 'the limit');
      const device = await withPool(context, (caller) => caller.call('device.limit', { name, limit }));
      printResult(context, deviceJson(device), device.name);
    });

  removal(program.command('rm'), undefined, 'thinfuse rm db-before-upgrade scratch');
}

/** `rm`, `image rm` and `container rm`. */
export function removal(command: Command, kind: DeviceKind | undefined, sample: string): void {
  command
    .summary(`remove ${kind === undefined ? 'devices' : `${kind}s`}`)
    .description(
      'Removes devices. Their snapshots keep their data, and the daemon frees the space in the background. A device in use is marked deleted, and removed after its last user.',
    )
    .aliases(['delete', 'remove'])
    .argument('<id...>')
    .option('-f, --force', 'unmount and deactivate first')
    .option('-n, --dry-run', 'show the space that would be freed, and remove nothing')
    .option('--wait', 'return when the space has come back')
    .addHelpText('after', example(sample))
    .action(async (names: string[], options: RemoveOptions, self: Command) =>
      options.dryRun === true
        ? foretell(contextOf(self), names)
        : remove(contextOf(self), names, kind, options),
    );
}

export async function create(context: Context, input: Operations['device.create']['input']): Promise<void> {
  const device = await withPool(context, (caller) => caller.call('device.create', input));
  printResult(context, deviceJson(device), device.name);
}

export const QUOTA_HELP =
  'how much of the pool it may map, including the chunks that it shares with its origin';

export const LIMIT_HELP = 'how much its filesystem may hold, as df in it shows';

export interface SizeOptions {
  readonly size?: string;
  readonly quota?: string;
  readonly limit?: string;
}

export function sizesOf({ size, quota, limit }: SizeOptions): {
  size: number | undefined;
  quota: number | undefined;
  limit: number | undefined;
} {
  return {
    size: sizeOf(size),
    quota: quota === undefined ? undefined : parseSize(quota, '--quota'),
    limit: limit === undefined ? undefined : parseSize(limit, '--limit'),
  };
}

export function sizeOf(text: string | undefined): number | undefined {
  return text === undefined ? undefined : parseSize(text);
}

/** Goes on after one that cannot go, and fails with the first failure. */
async function remove(
  context: Context,
  names: readonly string[],
  kind: DeviceKind | undefined,
  { force = false, wait = false }: RemoveOptions,
): Promise<void> {
  const { done, failures } = await withPool(context, async (caller) => {
    // One after the other: a snapshot may be named behind what has to go first.
    const outcomes = await forEach(
      [...new Set(names)],
      async (name) => {
        if (kind !== undefined) await requireKind(caller, name, kind);
        return { name, ...(await caller.call('device.remove', { name, force })) };
      },
      { atOnce: 1 },
    );
    if (wait) await settle(context, caller);
    return outcomes;
  });
  const named = (put: boolean): readonly string[] =>
    done.filter(({ deferred }) => deferred === put).map(({ name }) => name);
  const removed = named(false);
  const deferred = named(true);
  if (context.json) printJson({ removed, deferred });
  else for (const name of [...removed, ...deferred]) print(name);
  for (const name of deferred)
    note(
      `${name} is in use: the daemon has marked it deleted, and removes it after its last user (or now, with --force)`,
    );
  throwFirst(failures);
}

/** Returns when no removed device holds space. */
async function settle(context: Context, caller: Caller): Promise<void> {
  await whileWorking(context, 'freeing space', async (say) => {
    const look = async (): Promise<void> => {
      const { pendingDeletes, dataUsed } = await caller.call('pool.info', {});
      say(`of ${pendingDeletes} removed devices, ${formatBinarySize(dataUsed)} in use`);
    };
    await asking(look, () => caller.call('pool.settle', {}));
  });
}

interface RemoveOptions {
  readonly force?: boolean;
  readonly dryRun?: boolean;
  readonly wait?: boolean;
}

/** With several, what only those share comes back, too. */
async function foretell(context: Context, names: readonly string[]): Promise<void> {
  const { devices, together } = await withPool(context, async (caller) => {
    const asked = await Promise.all([...new Set(names)].map((name) => caller.call('device.get', { name })));
    const { bytes } = await caller.call('device.exclusive', { names: asked.map(({ name }) => name) });
    return { devices: asked, together: bytes };
  });
  const lines = devices.map(
    ({ name, exclusive, mountPoint }) =>
      `${name}: ${formatBinarySize(exclusive)}${mountPoint === undefined ? '' : ` (mounted on ${mountPoint})`}`,
  );
  printResult(
    context,
    // Scripts of before have it by the name that it had when it was not exact.
    { devices: devices.map(({ name, exclusive }) => ({ name, exclusive })), together, atLeast: together },
    [...lines, ...(lines.length > 1 ? [`together ${formatBinarySize(together)}`] : [])].join('\n'),
  );
}
