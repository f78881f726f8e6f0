import { realpath } from 'node:fs/promises';
import path from 'node:path';
import { Option, type Command } from 'commander';
import type { TransportKind } from '../../fuse/transport.js';
import { contextOf, type Context } from '../context.js';
import { example } from '../example.js';
import { requireComplete } from '../incomplete.js';
import { interruptible } from '../interrupt.js';
import { note, printResult } from '../output.js';
import {
  deviceOf,
  sourceOf,
  splitOperands,
  withDevice,
  withSource,
  type DeviceFlags,
  type SourceFlags,
} from './flags.js';
import type { HelperReady } from './helper.js';

/** The command that serves a device for `legacy mount`, which ends once the device can be used. */
const HELPER = 'mount-helper';

interface MountFlags extends SourceFlags, DeviceFlags {
  readonly image?: boolean;
  readonly foreground?: boolean;
  readonly transport: TransportKind;
}

interface MountRequest {
  readonly paths: readonly string[];
  readonly device: string;
  readonly target: string;
  readonly flags: MountFlags;
}

export function registerLegacyMount(legacy: Command): void {
  withDevice(
    withSource(
      legacy
        .command('mount')
        .summary('mount the filesystem of a device of an old pool')
        .description(
          'Mounts a device of an old pool read-only. Replays the log of the filesystem in a scratch file and never changes the pool. `umount TARGET` ends it and leaves nothing behind.',
        )
        .usage('[options] (PATH... | --metadata META --data DATA) DEVICE TARGET')
        .argument(
          '<operands...>',
          'PATHs, unless given by options, DEVICE and TARGET, which is made if it is missing',
        ),
    ),
  )
    .option('--image', 'show the device as an image file in TARGET, and mount no filesystem')
    .option('--foreground', 'stay until the device is unmounted; a signal unmounts it')
    .addOption(
      new Option('--transport <kind>', 'how the kernel reaches the image file')
        .choices(['kernel', 'fuse-native'])
        .default('kernel'),
    )
    .addHelpText(
      'after',
      example(
        'thinfuse legacy mount /var/lib/docker/devicemapper web1 /mnt && ls /mnt/rootfs; umount /mnt',
        'thinfuse legacy mount --metadata meta --data data 3 /mnt --image',
      ),
    )
    .action(async (operands: string[], flags: MountFlags, command: Command) => {
      await mount(contextOf(command), operands, flags);
    });
  legacy
    .command(HELPER, { hidden: true })
    .addHelpText('after', example('thinfuse legacy mount /var/lib/docker/devicemapper web1 /mnt'))
    .action(help);
}

async function mount(context: Context, operands: readonly string[], flags: MountFlags): Promise<void> {
  const { requireMountPlace } = await import('../../host/mount-place.js');
  const { paths, rest } = splitOperands(operands, flags, ['DEVICE', 'TARGET'] as const);
  const [device] = rest;
  const request: MountRequest = { paths, device, target: path.resolve(rest[1]), flags };
  await requireMountPlace(await realpath(request.target).catch(() => request.target));
  let lacks: string | undefined;
  if (flags.foreground === true)
    await serve(request, ({ target, lacks: lacking }) => {
      lacks = lacking;
      // The exit code says so only when the device is unmounted.
      if (lacks !== undefined) note(lacks);
      printResult(context, { device, path: target, pid: process.pid, lacks }, target);
    });
  else {
    const { spawnHelper } = await import('./helper.js');
    const ready = await spawnHelper(['legacy', HELPER], request);
    lacks = ready.lacks;
    for (const text of ready.notes) note(text);
    printResult(context, { device, path: ready.target, pid: ready.pid, lacks }, ready.target);
  }
  requireComplete(device, { lacks });
}

/** In the helper. */
async function help(): Promise<void> {
  const { helperRequest, tellFailure, tellReady } = await import('./helper.js');
  try {
    await serve((await helperRequest()) as MountRequest, (ready) => {
      // The helper does not keep the filesystem busy in which its user started it.
      process.chdir('/');
      return tellReady(ready);
    });
  } catch (error) {
    await tellFailure(error);
    throw error;
  }
}

async function serve(
  { paths, device, target, flags }: MountRequest,
  onReady: (ready: HelperReady) => void | Promise<void>,
): Promise<void> {
  const { openOldDevice } = await import('../../legacy/old-device.js');
  const { findDevice } = await import('../../legacy/old-source.js');
  const { withOldSource } = await import('../../legacy/open-source.js');
  const { serveDevice } = await import('../../legacy/serve-device.js');
  const { image = false, transport } = flags;
  await withOldSource(sourceOf(paths, flags), async (source) => {
    const opened = await openOldDevice(source, findDevice(source, device), deviceOf(flags));
    await interruptible((signal) =>
      serveDevice(opened, {
        ...{ target, transport, image, signal },
        onNote: note,
        onReady: async (where, lacks) =>
          onReady({ pid: process.pid, target: where, notes: opened.lostLines, lacks }),
      }),
    );
  });
}
