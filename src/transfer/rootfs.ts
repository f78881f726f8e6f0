import { lstat, mkdtemp, readdir, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Content } from '../format/device-properties.js';
import { systemErrorCode, ThinError } from '../errors/thin-error.js';

/**
 * The folder of a mounted device that holds its files. Undefined if it was never mounted for writing and so
 * has none. Errors: damaged (a symbolic link or a file is in its place, which would lead out of the device).
 */
export async function rootfsOf(mountPoint: string): Promise<string | undefined> {
  const rootfs = path.join(mountPoint, 'rootfs');
  try {
    if ((await lstat(rootfs)).isDirectory()) return rootfs;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  throw new ThinError(
    'damaged',
    `${rootfs} is not a folder and is not followed; mount the device, put a folder in its place and try again`,
    { details: { path: rootfs } },
  );
}

/** Other entries beside rootfs in a device's filesystem. */
const BESIDE_ROOTFS = new Set(['rootfs', 'id', 'lost+found']);

/**
 * The folder of a mounted device that holds its files: its rootfs if it has nothing else, and its root
 * otherwise, as containerd has it. Undefined if there are no files yet.
 */
export async function filesOf(mountPoint: string): Promise<string | undefined> {
  const names = await readdir(mountPoint);
  if (names.some((name) => !BESIDE_ROOTFS.has(name))) return mountPoint;
  return rootfsOf(mountPoint);
}

/** As `filesOf`, of a device of which it is known what it has. */
export async function filesOfDevice(
  mountPoint: string,
  { content = 'rootfs' }: { readonly content?: Content | undefined },
): Promise<string | undefined> {
  return content === 'rootfs' ? filesOf(mountPoint) : mountPoint;
}

/** An empty folder while `work` needs one. */
export async function withEmptyFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(path.join(tmpdir(), 'thinfuse-empty-'));
  try {
    return await work(folder);
  } finally {
    await rmdir(folder);
  }
}
