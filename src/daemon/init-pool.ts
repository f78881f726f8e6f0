import type { RootLayout } from '../config/root-layout.js';
import { ThinError } from '../errors/thin-error.js';
import { requireFuseDevice } from '../fuse/mount-point.js';
import { makeFilesPrivate } from '../host/private-files.js';
import { clearUnfinishedRoot, requireHost } from './composition.js';
import { makePool, type MakePoolRequest } from './make-pool.js';
import { openWhenFree } from './open-when-free.js';

/**
 * Makes a pool, and in it what `complete` makes, which needs a daemon: the base device's filesystem. Changes
 * nothing where it fails. Errors: missing-tool, missing-device; as `makePool`, and those of `complete` and
 * `signal`.
 */
export async function initPool<T>(
  layout: RootLayout,
  request: MakePoolRequest,
  {
    complete,
    signal,
    onNote,
  }: {
    readonly complete: () => Promise<T>;
    readonly signal: AbortSignal;
    readonly onNote: (text: string) => void;
  },
): Promise<T> {
  await requireHost(request.options.filesystem);
  await requireFuseDevice();
  makeFilesPrivate();
  if (await openWhenFree(() => clearUnfinishedRoot(layout)))
    onNote(`${layout.root} had parts of a pool from an init that was killed; they were removed`);
  try {
    return await makePool(layout, request, async () => {
      signal.throwIfAborted();
      const made = await complete();
      signal.throwIfAborted();
      return made;
    });
  } catch (error) {
    throw signal.aborted && signal.reason instanceof ThinError ? signal.reason : error;
  }
}
