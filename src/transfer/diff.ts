import type { Caller } from '../api/operations.js';
import { ThinError } from '../errors/thin-error.js';
import { changes, type Change as FileChange } from '../host/changes.js';
import type { Exec } from '../host/exec.js';
import { rootfsOf, withEmptyFolder } from './rootfs.js';
import { withView } from './view.js';

export interface FileChanges {
  readonly changes: readonly FileChange[];
  /** What the files that were compared may lack; empty: nothing. */
  readonly lacks: readonly string[];
}

/**
 * Which files of a device were added, changed or deleted, compared with another device or its origin. Needs a
 * daemon. Errors: not-found (a device, or the origin is gone), busy, damaged.
 */
export async function changedFiles(
  caller: Caller,
  exec: Exec,
  name: string,
  other?: string,
  onFound?: (count: number) => void,
): Promise<FileChanges> {
  const lacks: string[] = [];
  const viewing = <T>(device: string, work: (rootfs: string) => Promise<T>): Promise<T> =>
    withView(caller, device, async (view) => {
      if (view.lacks !== undefined) lacks.push(view.lacks);
      const { content = 'rootfs' } = await caller.call('device.get', { name: device });
      const rootfs = content === 'rootfs' ? await rootfsOf(view.path) : view.path;
      // A device that was never mounted for writing has no files yet.
      return rootfs === undefined ? withEmptyFolder(work) : work(rootfs);
    });
  const found = await viewing(other ?? (await originOf(caller, name)), (before) =>
    viewing(name, async (after) => {
      const all: FileChange[] = [];
      for await (const change of changes(exec, before, after)) {
        all.push(change);
        onFound?.(all.length);
      }
      return all;
    }),
  );
  return { changes: found, lacks };
}

async function originOf(caller: Caller, name: string): Promise<string> {
  const device = await caller.call('device.get', { name });
  const devices = await caller.call('device.list', {});
  const origin = devices.find(({ id }) => id === device.origin);
  if (origin !== undefined) return origin.name;
  throw new ThinError(
    'not-found',
    device.originName === undefined
      ? `device ${name} has no origin to be compared with; name a second device`
      : `the origin of ${name}, ${device.originName}, is gone; name a device to compare it with`,
    { details: { device: name } },
  );
}
