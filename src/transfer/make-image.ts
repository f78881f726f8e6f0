import { requireKind } from '../api/kinds.js';
import type { Caller, DeviceStatus } from '../api/operations.js';
import { ThinError, toThinError } from '../errors/thin-error.js';
import { Archive, type Progress } from '../host/archive.js';
import type { Exec } from '../host/exec.js';
import { inspectSource } from '../host/image-source.js';
import { ownMaker } from './passing-devices.js';
import { rootfsOf } from './rootfs.js';
import type { FilesystemType } from '../config/pool-options.js';

export interface ImageRequest {
  readonly name: string;
  /** An image. Default: the base device. */
  readonly parent?: string | undefined;
  /** Bytes; at least the parent's. Default: the parent's. */
  readonly size?: number | undefined;
  /** Of plain data: its files lie at the top, and not in `rootfs/`. Default: as its parent. */
  readonly plain?: boolean | undefined;
}

export interface MakeOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /** Hears what tar(1) warned of, and what could not be removed again. */
  readonly onNote?: ((text: string) => void) | undefined;
}

/** An image as its parent is. Errors: exists, not-found, invalid-argument. */
export async function makePlainImage(
  caller: Caller,
  { name, parent, size, plain = false }: ImageRequest,
): Promise<DeviceStatus> {
  if (parent !== undefined) await requireParent(caller, parent, plain);
  return caller.call('device.create', { name, origin: parent, kind: 'image', size, ...contentOf(plain) });
}

/** A root filesystem, as a folder or an archive, that images are made of. */
export class ImageFiles {
  readonly #path: string;
  readonly #exec: Exec;

  private constructor(path: string, exec: Exec) {
    this.#path = path;
    this.#exec = exec;
  }

  /** Looks at the source before anything is made. Errors: as `inspectSource`. */
  static async at(source: string, exec: Exec): Promise<ImageFiles> {
    return new ImageFiles((await inspectSource(exec, source)).path, exec);
  }

  /**
   * Marked until it is complete, so that nothing starts from half an image; gone again if it does not become
   * one. Needs a daemon. Errors: as `makePlainImage` and `Archive.import`; no-space, closed.
   */
  async make(
    caller: Caller,
    { name, parent, size, plain = false }: ImageRequest,
    options: MakeOptions = {},
  ): Promise<DeviceStatus> {
    const { signal, onNote } = options;
    const maker = await ownMaker();
    if (parent !== undefined) await requireParent(caller, parent, plain);
    const { content, filesystem } = await caller.call('device.create', {
      ...{ name, origin: parent, kind: 'snapshot', size, maker },
      ...contentOf(plain),
    });
    try {
      const { path } = await caller.call('mount', { name, maker, ...mountOf(filesystem) });
      await this.#unpack(path, { name, content, filesystem }, options);
      signal?.throwIfAborted();
      await caller.call('umount', { name });
      return await caller.call('device.seal', { name, maker });
    } catch (error) {
      await caller.call('device.remove', { name, force: true }).catch((failure: unknown) => {
        onNote?.(`${name} could not be removed again: ${toThinError(failure).message}`);
      });
      throw signal?.aborted === true && signal.reason instanceof ThinError ? signal.reason : error;
    }
  }

  async #unpack(
    mountPoint: string,
    {
      name,
      content = 'rootfs',
      filesystem,
    }: Pick<DeviceStatus, 'content' | 'filesystem'> & {
      readonly name: string;
    },
    { signal, onProgress, onNote }: MakeOptions,
  ): Promise<void> {
    const rootfs = content === 'rootfs' ? await rootfsOf(mountPoint) : mountPoint;
    if (rootfs === undefined)
      throw new ThinError('not-found', `device ${name} was mounted without its rootfs on ${mountPoint}`);
    const archive = new Archive(this.#exec, { onOneCpu: filesystem === 'ext4' });
    const { warnings } = await archive.import(this.#path, rootfs, { signal, onProgress });
    for (const warning of warnings) onNote?.(warning);
  }
}

function contentOf(plain: boolean): { readonly content?: 'plain' } {
  return plain ? { content: 'plain' } : {};
}

/** @throws ThinError invalid-argument */
async function requireParent(caller: Caller, parent: string, plain: boolean): Promise<void> {
  const { content = 'rootfs' } = await requireKind(caller, parent, 'image');
  if (plain && content === 'rootfs')
    throw new ThinError(
      'invalid-argument',
      `image ${parent} has its files in rootfs/, so an image of it cannot be --plain; leave --parent or --plain out`,
      { details: { device: parent } },
    );
}

/**
 * ext4 otherwise chooses places when it writes back, so that they depend on the moment: two images of one
 * root had as little as a third of their blocks in common.
 */
function mountOf(filesystem: FilesystemType): { readonly options?: string } {
  return filesystem === 'ext4' ? { options: 'nodelalloc' } : {};
}
