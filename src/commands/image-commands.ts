import type { Command } from 'commander';
import type { Caller, DeviceStatus } from '../api/operations.js';
import { ThinError } from '../errors/thin-error.js';
import { withDevices, withPool } from './connect.js';
import { contextOf, type Context } from './context.js';
import { deviceJson } from './device-json.js';
import { create, QUOTA_HELP, removal, sizeOf, sizesOf, type SizeOptions } from './device-commands.js';
import { example } from './example.js';
import { importer } from './importer.js';
import { interruptible } from './interrupt.js';
import { requireKind } from '../api/kinds.js';
import { listing } from './list-commands.js';
import { note, printResult } from './output.js';
import { ownMaker } from './passing-devices.js';
import { rootfsOf } from './rootfs.js';

interface ImageOptions {
  readonly parent?: string;
  readonly from?: string;
  readonly size?: string;
}

export function registerImageCommands(program: Command): void {
  const image = program.command('image').summary('images: what containers start from');
  image
    .command('create')
    .summary('make an image')
    .description(
      'Makes an image from the base device or from another image. --from fills it with a root file system: a folder, a tar, an OCI image layout or what docker save wrote.',
    )
    .argument('<id>')
    .option('--parent <image>', 'the image it starts from; the base device otherwise')
    .option('--from <path>', 'folder or archive to unpack into its rootfs')
    .option('--size <size>', 'a size larger than its parent has')
    .addHelpText(
      'after',
      example(
        'mmdebstrap --variant=minbase bookworm debian.tar && thinfuse image create debian --from debian.tar',
      ),
    )
    .action(async (name: string, options: ImageOptions, command: Command) => {
      const context = contextOf(command);
      const { from } = options;
      if (from === undefined) return createPlain(context, name, options);
      const device = await interruptible((signal) => createFrom(context, name, options, from, signal));
      printResult(context, deviceJson(device), device.name);
    });

  listing(image.command('ls'), 'image', 'thinfuse image ls --json');
  removal(image.command('rm'), 'image', 'thinfuse image rm debian');

  const container = program.command('container').summary('containers: writable snapshots of images');
  container
    .command('create')
    .summary('make a container of an image')
    .description('Makes a writable snapshot of an image, at once and whatever its size.')
    .argument('<id>')
    .requiredOption('--image <image>', 'the image it starts from')
    .option('--size <size>', 'a size larger than its image has; the filesystem grows at the first mount')
    .option('--quota <size>', QUOTA_HELP)
    .addHelpText('after', example('thinfuse container create web1 --image debian --size 20G'))
    .action(async (name: string, options: SizeOptions & { image: string }, command: Command) =>
      create(contextOf(command), {
        name,
        origin: options.image,
        kind: 'container',
        ...sizesOf(options),
      }),
    );

  listing(container.command('ls'), 'container', 'thinfuse container ls');
  removal(container.command('rm'), 'container', 'thinfuse container rm --force web1');

  container
    .command('commit')
    .summary('make an image of a container')
    .description(
      'Makes an image of what the container holds now. A mounted container is frozen meanwhile and goes on.',
    )
    .argument('<container>')
    .argument('<image>', 'name of the new image')
    .addHelpText('after', example('thinfuse container commit web1 debian-with-nginx'))
    .action(async (origin: string, name: string, _options: unknown, command: Command) => {
      const context = contextOf(command);
      const device = await withPool(context, async (caller) => {
        await requireKind(caller, origin, 'container');
        return caller.call('device.create', { name, origin, kind: 'image' });
      });
      printResult(context, deviceJson(device), device.name);
    });
}

async function createPlain(context: Context, name: string, options: ImageOptions): Promise<void> {
  const device = await withPool(context, (caller) => begin(caller, name, options, 'image'));
  printResult(context, deviceJson(device), device.name);
}

/** Marked until it is complete, so that nothing starts from half an image; gone again if it does not become one. */
async function createFrom(
  context: Context,
  name: string,
  options: ImageOptions,
  from: string,
  signal: AbortSignal,
): Promise<DeviceStatus> {
  const source = await importer(context, from);
  return withDevices(context, async (caller) => {
    const maker = await ownMaker();
    await begin(caller, name, options, 'snapshot', maker);
    try {
      const { path } = await caller.call('mount', { name, maker });
      const rootfs = await rootfsOf(path);
      if (rootfs === undefined)
        throw new ThinError('not-found', `device ${name} was mounted without its rootfs on ${path}`);
      for (const warning of await source.unpackInto(rootfs, signal)) note(warning);
      signal.throwIfAborted();
      await caller.call('umount', { name });
      return await caller.call('device.seal', { name, maker });
    } catch (error) {
      await caller.call('device.remove', { name, force: true }).catch((failure: unknown) => {
        note(
          `${name} could not be removed again: ${failure instanceof Error ? failure.message : String(failure)}`,
        );
      });
      throw signal.aborted && signal.reason instanceof ThinError ? signal.reason : error;
    }
  });
}

async function begin(
  caller: Caller,
  name: string,
  { parent, size }: ImageOptions,
  kind: 'image' | 'snapshot',
  maker?: string,
): Promise<DeviceStatus> {
  if (parent !== undefined) await requireKind(caller, parent, 'image');
  return caller.call('device.create', { name, origin: parent, kind, size: sizeOf(size), maker });
}
