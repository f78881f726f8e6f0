import { constants } from 'node:fs';
import { chmod, lstat, mkdir, open, readdir, realpath, rmdir, stat, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { systemErrorCode, ThinError } from '../errors/thin-error.js';
import { requireMountPlace } from './mount-place.js';
import type { RootLayout } from '../config/root-layout.js';

const OTHERS = 0o077;

/**
 * Takes back what others may see of the root, of the pool's folder and of the files in both, which hold every
 * device's data: a disk's top folder, a backup that was put back and what a program of before made may be
 * open to all. What a link leads to stays as it is.
 */
export async function closeToOthers({ root, pool }: RootLayout): Promise<void> {
  for (const folder of [root, pool]) {
    const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
    const files = entries.filter((entry) => entry.isFile()).map(({ name }) => path.join(folder, name));
    for (const place of [folder, ...files]) await closePlace(place);
  }
}

const THROUGH = 0o011;

/**
 * A folder of the root through which users other than root reach what is mounted in it: they may pass through
 * it and the root, and list neither.
 */
export async function openToOthers(folder: string): Promise<void> {
  await requireOwnFolder(folder);
  await mkdir(folder, { recursive: true, mode: 0o711 });
  for (const place of [folder, path.dirname(folder)]) {
    const { mode } = await stat(place);
    if ((mode & THROUGH) !== THROUGH) await chmod(place, (mode & 0o7777) | THROUGH);
  }
}

/** Undoes `openToOthers`, where nothing is in the folder. */
export async function closeAgain(folder: string): Promise<void> {
  const isGone = await rmdir(folder).then(
    () => true,
    (error: unknown) => systemErrorCode(error) === 'ENOENT',
  );
  if (isGone) await closePlace(path.dirname(folder));
}

async function closePlace(place: string): Promise<void> {
  const mode = await stat(place).then(
    (found) => found.mode,
    () => 0,
  );
  if ((mode & OTHERS) !== 0) await chmod(place, mode & 0o7700);
}

/**
 * The daemon's own paths must be folders. A link would lead elsewhere on the host, where the daemon would
 * mount and remove things. A missing path is fine. Errors: invalid-argument.
 */
export async function requireOwnFolder(folder: string): Promise<void> {
  const found = await lstat(folder).catch(() => undefined);
  if (found === undefined || found.isDirectory()) return;
  throw notFollowed(folder);
}

/**
 * Opens a file of the daemon's own, made 0600 where it is not there. Errors: invalid-argument (a symbolic
 * link), and open(2)'s.
 */
export async function openOwnFile(file: string, mode: 'append' | 'replace'): Promise<FileHandle> {
  const how = mode === 'append' ? constants.O_APPEND : constants.O_TRUNC;
  try {
    return await open(file, constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW | how, 0o600);
  } catch (error) {
    throw systemErrorCode(error) === 'ELOOP' ? notFollowed(file) : error;
  }
}

/**
 * Where a device may be mounted: as a full path without symbolic links, or as it was given where it is not
 * there yet. Errors: invalid-argument (relative; over the root or one of its folders, which the daemon needs
 * to see), as `requireMountPlace`.
 */
export async function mountTarget(layout: RootLayout, target: string): Promise<string> {
  if (!path.isAbsolute(target))
    throw new ThinError('invalid-argument', `the target ${target} is not absolute; give its full path`);
  const normal = path.resolve(target);
  const real = await realpath(normal).catch(() =>
    realpath(path.dirname(normal)).then(
      (parent) => path.join(parent, path.basename(normal)),
      () => normal,
    ),
  );
  const hidden = [
    ...[layout.devices, layout.pool, layout.metadata],
    ...[layout.openMounts, layout.space, layout.spares],
  ];
  if (isIn(layout.mounts, real) || hidden.some((folder) => isIn(real, folder)))
    throw new ThinError(
      'invalid-argument',
      `${normal} would hide what the daemon of ${layout.root} needs there; choose another target`,
    );
  await requireMountPlace(real);
  return normal;
}

function isIn(file: string, folder: string): boolean {
  return file === folder || file.startsWith(folder === '/' ? folder : `${folder}/`);
}

function notFollowed(file: string): ThinError {
  return new ThinError(
    'invalid-argument',
    `${file} is a symbolic link or no folder, and thinfuse does not follow it; remove it, and thinfuse makes it again`,
    { details: { path: file } },
  );
}
