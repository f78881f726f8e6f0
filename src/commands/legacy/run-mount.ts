import { realpath, rmdir } from 'node:fs/promises';
import path from 'node:path';
import type { Incompleteness } from '../../api/operations.js';
import { ThinError } from '../../errors/thin-error.js';
import { requireMountPlace } from '../../host/mount-place.js';
import { ImageFolder } from '../../legacy/image-folder.js';
import { findDevice } from '../../legacy/old-source.js';
import type { OpenedDevice } from '../../legacy/opened-device.js';
import type { Context } from '../context.js';
import { requireComplete } from '../incomplete.js';
import { interruptible } from '../interrupt.js';
import { splitOperands } from './flags.js';
import { spawnHelper, tellFailure, tellReady } from './helper.js';
import type { MountOptions } from './mount.js';
import { openOldDevice } from './open.js';
import { withSourcePool } from './source.js';
import { imageName, makeFolder, mountDevice, serveImages } from './view.js';
import { note, printResult } from '../output.js';

export async function runLegacyMount(
  context: Context,
  operands: readonly string[],
  options: MountOptions,
): Promise<void> {
  const { paths, rest } = splitOperands(operands, options, ['DEVICE', 'TARGET'] as const);
  const request = { paths, device: rest[0], target: path.resolve(rest[1]), options };
  await requireMountPlace(await realpath(request.target).catch(() => request.target));
  if (options.foreground === true) return serve(context, request);
  const { pid, target, notes, lacks } = await spawnHelper(helperArguments(context, request));
  for (const text of notes) note(text);
  printResult(context, { device: request.device, path: target, pid, lacks }, target);
  requireComplete(request.device, { lacks });
}

interface MountRequest {
  readonly paths: readonly string[];
  readonly device: string;
  readonly target: string;
  readonly options: MountOptions;
}

/** The same command, for a process that has another working folder. */
function helperArguments(
  { layout }: Context,
  { paths, device, target, options }: MountRequest,
): readonly string[] {
  const option = (name: string, value: string | undefined): readonly string[] =>
    value === undefined ? [] : [name, value];
  const flag = (name: string, given: boolean | undefined): readonly string[] =>
    given === true ? [name] : [];
  const absolute = (file: string | undefined): string | undefined =>
    file === undefined ? undefined : path.resolve(file);
  return [
    ...[
      '--root',
      layout.root,
      'legacy',
      'mount',
      '--foreground',
      '--notify',
      '--transport',
      options.transport,
    ],
    ...option('--metadata', absolute(options.metadata)),
    ...option('--data', absolute(options.data)),
    ...option('--external-origin', absolute(options.externalOrigin)),
    ...option('--block-size', options.blockSize),
    ...option('--data-blocks', options.dataBlocks),
    ...option('--mapping-root', options.mappingRoot),
    ...option('--details-root', options.detailsRoot),
    ...option('--size', options.size),
    ...flag('--search', options.search),
    ...flag('--metadata-snap', options.metadataSnap),
    ...flag('--image', options.image),
    ...flag('--skip-damaged', options.skipDamaged),
    ...['--', ...paths.map((one) => path.resolve(one)), device, target],
  ];
}

async function serve(context: Context, request: MountRequest): Promise<void> {
  const { options } = request;
  const notify = options.notify === true;
  let incompleteness: Incompleteness = {};
  // A helper does not keep the filesystem busy that it happened to be started from.
  if (notify) process.chdir('/');
  try {
    await withSourcePool(request.paths, options, async (source) => {
      const device = await openOldDevice(source, findDevice(source, request.device), options);
      const ready = async (target: string, lacks?: string): Promise<void> => {
        incompleteness = { lacks };
        if (notify) await tellReady({ pid: process.pid, target, notes: device.lostLines, lacks });
        else {
          // Now, for the exit code comes when it is unmounted.
          if (lacks !== undefined) note(lacks);
          printResult(context, { device: request.device, path: target, pid: process.pid, lacks }, target);
        }
      };
      await interruptible(async (signal) =>
        options.image === true
          ? serveImage(request, device, ready, signal)
          : serveMount(request, device, ready, signal),
      );
    });
  } catch (error) {
    await tellFailure(error);
    throw error;
  }
  requireComplete(request.device, incompleteness);
}

type Ready = (target: string, lacks?: string) => Promise<void>;

async function serveMount(
  { target, options }: MountRequest,
  device: OpenedDevice,
  ready: Ready,
  signal: AbortSignal,
): Promise<void> {
  const mounted = await mountDevice(device, target, options.transport);
  await ready(mounted.target, mounted.lacks);
  const stopping = aborted(signal).then(async () => {
    try {
      await mounted.unmount();
    } catch (error) {
      if (!(error instanceof ThinError)) throw error;
      note(`${error.message}; it is unmounted lazily, and served until then`);
      await mounted.unmount({ lazily: true });
    }
  });
  await Promise.race([mounted.released, stopping.then(() => mounted.released)]);
  await mounted.end();
}

async function serveImage(
  { target, options }: MountRequest,
  device: OpenedDevice,
  ready: Ready,
  signal: AbortSignal,
): Promise<void> {
  const made = await makeFolder(target);
  const name = imageName(device);
  const served = await serveImages(
    target,
    new ImageFolder(new Map([[name, device.image]])),
    options.transport,
  );
  await ready(path.join(target, name));
  await Promise.race([served.ended, aborted(signal)]);
  await served.end();
  if (made) await rmdir(target).catch(() => undefined);
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
}
