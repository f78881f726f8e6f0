import { mkdir, mkdtemp, readdir, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { systemErrorCode, ThinError, toThinError } from '../errors/thin-error.js';
import type { TransportKind } from '../fuse/transport.js';
import { ChildProcessExec } from '../host/exec.js';
import { FilesystemTools } from '../host/filesystem-tools.js';
import { LoopDevices } from '../host/loop-devices.js';
import { Mounter } from '../host/mounter.js';
import { MountTable } from '../host/mount-table.js';
import type { ImageDirectory } from '../io/image-file.js';
import { ImageFolder } from './image-folder.js';
import type { OpenedDevice } from './opened-device.js';
import { OverlayImage } from './overlay-image.js';

const FOLDER = /^thinfuse-legacy-(\d+)-/;

/** Images of an old pool served by this process. */
export interface ServedImages {
  /** Resolves when the serving has ended, from outside too. */
  readonly ended: Promise<void>;
  /** Takes the images away, also from those who have them open. */
  end(): Promise<void>;
}

/** Serves images in `folder`, which is there and empty. Errors: as `Transport.mount`. */
export async function serveImages(
  folder: string,
  images: ImageDirectory,
  kind: TransportKind,
  onNote: (text: string) => void,
): Promise<ServedImages> {
  const onFault = (error: ThinError): void => onNote(error.message);
  const transport =
    kind === 'kernel'
      ? new (await import('../fuse/kernel-transport.js')).KernelTransport(folder, images, { onFault })
      : new (await import('../fuse/fuse-native-transport.js')).FuseNativeTransport(folder, images, {
          onFault,
        });
  await transport.mount();
  return { ended: transport.ended, end: () => transport.unmount() };
}

/** A device whose filesystem is mounted, served by this process. */
export interface MountedDevice {
  readonly target: string;
  /**
   * What its files may lack: the filesystem's log was not clean and could not be replayed. Undefined:
   * nothing.
   */
  readonly lacks: string | undefined;
  /** Resolves when the filesystem is mounted nowhere any more, or can be reached no more. */
  readonly released: Promise<void>;
  /** Unmounts. Errors: busy, unless `lazily`. */
  unmount(options?: { readonly lazily?: boolean }): Promise<void>;
  /** Stops serving and removes what was made; behind `released` or `unmount`. */
  end(): Promise<void>;
}

/**
 * Mounts a device read-only. A log that is not clean is replayed in a scratch file, which the old pool never
 * sees. umount(8) of the target ends it: the kernel detaches the loop device after its last user, and its
 * file with it. Undone on failure. Errors: as `Mounter.mount` and `Transport.mount`; unsupported.
 */
export async function mountDevice(
  device: OpenedDevice,
  target: string,
  kind: TransportKind,
  onNote: (text: string) => void,
): Promise<MountedDevice> {
  const { filesystem, label } = device;
  if (filesystem === undefined)
    throw new ThinError(
      'unsupported',
      `device ${label} holds neither xfs nor ext4, as far as its first block tells; look at it with: thinfuse legacy mount --image`,
      { details: { device: label } },
    );
  await sweep();
  const exec = new ChildProcessExec();
  const loops = new LoopDevices(exec);
  const mounter = new Mounter(exec, loops, new FilesystemTools(exec));
  const folder = await mkdtemp(path.join(tmpdir(), `thinfuse-legacy-${process.pid}-`));
  const name = imageName(device);
  const undo: (() => Promise<unknown>)[] = [() => rmdir(folder)];
  try {
    const overlay = await OverlayImage.over(device.image);
    undo.push(() => overlay.close());
    const images = new ImageFolder(new Map([[name, overlay]]));
    const served = await serveImages(folder, images, kind, onNote);
    undo.push(() => served.end());
    const madeTarget = await makeFolder(target);
    if (madeTarget) undo.push(() => rmdir(target));
    const image = path.join(folder, name);
    const request = { image, target, filesystem: filesystem.type, readOnly: true } as const;
    let why: unknown;
    const mounted = await mounter.mount({ ...request, log: 'replay' }).catch((error: unknown) => {
      why = error;
      if (error instanceof ThinError && error.code === 'tool-failed') return mounter.mount(request);
      throw error;
    });
    undo.push(() => mounter.unmount(mounted, { lazily: true }));
    await loops.detachWithLastUser(mounted.loop);
    return {
      target: mounted.target,
      lacks: mounted.skippedLog ? lacking(device, why) : undefined,
      released: Promise.race([images.idle(), served.ended]),
      unmount: (options = {}) => mounter.unmount(mounted, options),
      end: async () => {
        // A server that ended leaves an unreadable mount.
        await mounter.unmount(mounted, { lazily: true }).catch(() => undefined);
        await served.end();
        await overlay.close();
        await rmdir(folder);
        if (madeTarget) await rmdir(mounted.target).catch(() => undefined);
      },
    };
  } catch (error) {
    for (const step of undo.reverse()) await step().catch(() => undefined);
    throw error;
  }
}

/** Of the image file that shows a device. */
export function imageName({ label, number }: OpenedDevice): string {
  return number === undefined ? label : `device-${number}`;
}

function lacking({ label }: OpenedDevice, why: unknown): string {
  return `the filesystem of device ${label} was not unmounted in order, and its log cannot be replayed (${toThinError(why).message}): the last changes may be missing or half done`;
}

/** True where it was not there. Errors: not-found (the folder above), invalid-argument (no folder). */
export async function makeFolder(target: string): Promise<boolean> {
  try {
    await mkdir(target, { mode: 0o755 });
    return true;
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'EEXIST') return false;
    throw new ThinError(
      'not-found',
      `${target} cannot be made (${code ?? String(error)}); make the folder first`,
      {
        cause: error,
        details: { path: target },
      },
    );
  }
}

/** Folders of processes that were killed go, with the dead mounts on them. */
async function sweep(): Promise<void> {
  const exec = new ChildProcessExec();
  for (const name of await readdir(tmpdir())) {
    const pid = FOLDER.exec(name)?.[1];
    if (pid === undefined || isAlive(Number(pid))) continue;
    const folder = path.join(tmpdir(), name);
    if ((await MountTable.read()).on(folder) !== undefined)
      await exec.run('umount', ['--lazy', folder]).catch(() => undefined);
    await rmdir(folder).catch(() => undefined);
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemErrorCode(error) === 'EPERM';
  }
}
