import { rmdir } from 'node:fs/promises';
import path from 'node:path';
import { ThinError } from '../errors/thin-error.js';
import type { TransportKind } from '../fuse/transport.js';
import { ImageFolder } from './image-folder.js';
import { imageName, makeFolder, mountDevice, serveImages } from './mounted-device.js';
import type { OpenedDevice } from './opened-device.js';

export interface ServeRequest {
  /** A folder; made where it is not there. */
  readonly target: string;
  readonly transport: TransportKind;
  /** Whether the device is shown as an image file, and no filesystem is mounted. */
  readonly image: boolean;
  /** Ends the serving. */
  readonly signal: AbortSignal;
  readonly onNote: (text: string) => void;
  /** Called once: what may be used where, and what its files may lack. */
  readonly onReady: (where: string, lacks: string | undefined) => Promise<void>;
}

/**
 * Serves a device of an old pool until its user unmounts it or the signal comes. Errors: as `mountDevice` and
 * `serveImages`.
 */
export async function serveDevice(device: OpenedDevice, request: ServeRequest): Promise<void> {
  await (request.image ? serveImage(device, request) : serveMount(device, request));
}

async function serveMount(
  device: OpenedDevice,
  { target, transport, signal, onNote, onReady }: ServeRequest,
): Promise<void> {
  const mounted = await mountDevice(device, target, transport, onNote);
  await onReady(mounted.target, mounted.lacks);
  const stopping = aborted(signal).then(async () => {
    try {
      await mounted.unmount();
    } catch (error) {
      if (!(error instanceof ThinError)) throw error;
      onNote(`${error.message}; it is unmounted lazily, and served until then`);
      await mounted.unmount({ lazily: true });
    }
  });
  await Promise.race([mounted.released, stopping.then(() => mounted.released)]);
  await mounted.end();
}

async function serveImage(
  device: OpenedDevice,
  { target, transport, signal, onNote, onReady }: ServeRequest,
): Promise<void> {
  const made = await makeFolder(target);
  const name = imageName(device);
  const images = new ImageFolder(new Map([[name, device.image]]));
  const served = await serveImages(target, images, transport, onNote);
  await onReady(path.join(target, name), undefined);
  await Promise.race([served.ended, aborted(signal)]);
  await served.end();
  if (made) await rmdir(target).catch(() => undefined);
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
}
