import { chmod, chown, lstat, mkdir, rmdir, statfs, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { systemErrorCode } from '../errors/thin-error.js';

/**
 * Something done to the files of a mounted device. Never by the process that serves the device: a thread of
 * it that waits for its own answer cannot be killed, the process then does not end, and what it serves waits
 * for ever.
 */
export type MountTask =
  /**
   * `rootfs/` (0755) and `id` (0600, `name`, kept where one is). Answers `no-folder` where `rootfs` is
   * something else.
   */
  | { readonly kind: 'furnish'; readonly target: string; readonly name: string }
  /** A fresh filesystem becomes an empty root: 0755, without lost+found. */
  | { readonly kind: 'bare'; readonly target: string }
  /** Owner and mode of the root; what is undefined stays. */
  | {
      readonly kind: 'permissions';
      readonly target: string;
      readonly mode?: number | undefined;
      readonly uid?: number | undefined;
      readonly gid?: number | undefined;
    }
  /** Answers how many inodes are in use. */
  | { readonly kind: 'inodes'; readonly target: string }
  /** Answers how many blocks the filesystem has for files, used ones included, and the bytes of one. */
  | { readonly kind: 'capacity'; readonly target: string };

export async function performMountTask(task: MountTask): Promise<string> {
  switch (task.kind) {
    case 'furnish':
      return furnish(task.target, task.name);
    case 'bare':
      return bare(task.target);
    case 'permissions': {
      const { target, mode, uid = -1, gid = -1 } = task;
      // First, for a change of the owner takes set-id bits away.
      if (uid !== -1 || gid !== -1) await chown(target, uid, gid);
      if (mode !== undefined) await chmod(target, mode);
      return '';
    }
    case 'inodes': {
      const { files, ffree } = await statfs(task.target);
      return String(Math.max(0, files - ffree));
    }
    case 'capacity': {
      const { blocks, bsize } = await statfs(task.target);
      return `${blocks} ${bsize}`;
    }
  }
}

/** Neither call follows a symbolic link that the image may hold: mkdir(2) and O_EXCL both stop at one. */
async function furnish(target: string, name: string): Promise<string> {
  const rootfs = path.join(target, 'rootfs');
  let answer = '';
  if (await made(mkdir(rootfs, 0o755))) await chmod(rootfs, 0o755);
  else if (!(await lstat(rootfs)).isDirectory()) answer = 'no-folder';
  await made(writeFile(path.join(target, 'id'), name, { flag: 'wx', mode: 0o600 }));
  return answer;
}

async function bare(target: string): Promise<string> {
  await chmod(target, 0o755);
  await rmdir(path.join(target, 'lost+found')).catch((error: unknown) => {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
  });
  return '';
}

/** False where it was there already. */
async function made(making: Promise<unknown>): Promise<boolean> {
  try {
    await making;
    return true;
  } catch (error) {
    if (systemErrorCode(error) === 'EEXIST') return false;
    throw error;
  }
}
