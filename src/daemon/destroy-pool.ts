import { readdir, realpath, rm, rmdir } from 'node:fs/promises';
import path from 'node:path';
import type { RootLayout } from '../config/root-layout.js';
import type { Exec } from '../host/exec.js';
import { ThinError } from '../errors/thin-error.js';
import { openPoolStore } from '../store/pool-store.js';
import { removeHandover } from './handover.js';
import { removeLabel } from './init-data.js';
import { clearLeftovers } from './leftovers.js';
import { dataLink } from './pool-folder.js';

export interface Destroyed {
  /** The data whose label was wiped; undefined: it was in the root's folder, and is gone. */
  readonly data: string | undefined;
}

/**
 * Ends a pool that no daemon serves: what is left of mounts and loop devices, the label on its disk, and its
 * files in the root. What else is in the root stays. Errors: locked (a process has the pool open), busy (its
 * disk is in use), and those of the disk, with the pool still there.
 */
export async function destroyPool(layout: RootLayout, exec: Exec): Promise<Destroyed> {
  const store = await openPoolStore(layout.pool).catch((error: unknown) => {
    // A pool that is too damaged to be opened can be destroyed. A pool in use cannot.
    if (error instanceof ThinError && error.code === 'locked') throw error;
    return undefined;
  });
  await store?.close();
  await clearLeftovers(layout, exec);
  const data = await realpath(dataLink(layout.pool)).catch(() => undefined);
  if (data !== undefined) await removeLabel(data);
  const { root, ...places } = layout;
  const folder = await realpath(layout.pool);
  await Promise.all(
    (await readdir(folder)).map((name) => rm(path.join(folder, name), { recursive: true, force: true })),
  );
  const sockets = (await readdir(root)).filter((name) => /^snapshotter(-.+)?\.sock$/.test(name));
  for (const place of [
    ...Object.values(places),
    `${layout.log}.1`,
    ...sockets.map((name) => path.join(root, name)),
  ])
    await rm(place, { recursive: true, force: true });
  removeHandover(layout);
  // Both stay where they hold something else, or are where a disk is mounted.
  for (const each of [folder, root]) await rmdir(each).catch(() => undefined);
  return { data };
}
