import type { Command } from 'commander';
import type { DeviceStatus } from '../api/operations.js';
import { withDevices, withPool } from './connect.js';
import { contextOf, type Context } from './context.js';
import { deviceJson } from './device-json.js';
import {
  create,
  LIMIT_HELP,
  QUOTA_HELP,
  removal,
  sizeOf,
  sizesOf,
  type SizeOptions,
} from './device-commands.js';
import { example } from './example.js';
import { withProgress } from './progress.js';
import { ChildProcessExec } from '../host/exec.js';
import { makePlainImage, type ImageRequest } from '../transfer/make-image.js';
import { interruptible } from './interrupt.js';
import { requireKind } from '../api/kinds.js';
import { addList } from './list-commands.js';
import { note, printResult } from './output.js';

interface ImageOptions {
  readonly parent?: string;
  readonly from?: string;
  readonly size?: string;
  readonly plain?: boolean;
}

export function registerImageCommands(program: Command): void {
  const image = program.command('image').summary('images: what containers start from');
  image
    .command('create')
    .summary('make an image')
    .description(
      'Makes an image from the base device or from another image. --from fills it with a root file system: a folder, a tar, an OCI image layout or an archive of docker save.',
    )
    .argument('<id>')
    .option('--parent <image>', 'the image it starts from; default: the base device')
    .option('--from <path>', 'folder or archive to unpack into its rootfs')
    .option('--plain', 'of plain data: its files lie at the top of its filesystem, without rootfs/ and id')
    .option('--size <size>', 'a size larger than its parent has')
    .addHelpText(
      'after',
      example(
        'mmdebstrap --variant=minbase bookworm debian.tar && thinfuse image create debian --from debian.tar',
        'thinfuse image create seed --plain --from /var/lib/postgresql/16/main',
      ),
    )
    .action(async (name: string, options: ImageOptions, command: Command) => {
      const context = contextOf(command);
      const { from, parent, plain } = options;
      const request = { name, parent, plain, size: sizeOf(options.size) };
      const device =
        from === undefined
          ? await withPool(context, (caller) => makePlainImage(caller, request))
          : await createFrom(context, request, from);
      printResult(context, deviceJson(device), device.name);
    });

  addList(image.command('ls'), 'image', 'thinfuse image ls --json');
  removal(image.command('rm'), 'image', 'thinfuse image rm debian');

  const container = program.command('container').summary('containers: writable snapshots of images');
  container
    .command('create')
    .summary('make a container of an image')
    .description('Makes a writable snapshot of an image, at once and for any size.')
    .argument('<id>')
    .requiredOption('--image <image>', 'the image it starts from')
    .option('--size <size>', 'a size larger than its image has; the filesystem grows at the first mount')
    .option('--quota <size>', QUOTA_HELP)
    .option('--limit <size>', LIMIT_HELP)
    .addHelpText('after', example('thinfuse container create web1 --image debian --size 20G'))
    .action(async (name: string, options: SizeOptions & { image: string }, command: Command) =>
      create(contextOf(command), {
        name,
        origin: options.image,
        kind: 'container',
        ...sizesOf(options),
      }),
    );

  addList(container.command('ls'), 'container', 'thinfuse container ls');
  removal(container.command('rm'), 'container', 'thinfuse container rm --force web1');

  container
    .command('commit')
    .summary('make an image of a container')
    .description(
      'Makes an image of the present content of a container. Freezes a mounted container meanwhile.',
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

/** Undone if it is cut off. */
async function createFrom(context: Context, request: ImageRequest, from: string): Promise<DeviceStatus> {
  const { ImageFiles } = await import('../transfer/make-image.js');
  return interruptible(async (signal) => {
    const files = await ImageFiles.at(from, new ChildProcessExec());
    return withDevices(context, (caller) =>
      withProgress(context, 'unpacking', (onProgress) =>
        files.make(caller, request, { signal, onProgress, onNote: note }),
      ),
    );
  });
}
