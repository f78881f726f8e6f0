import { spawn, spawnSync } from 'node:child_process';
import { missingTool } from '../config/missing-tool.js';
import { ThinError, systemErrorCode } from '../errors/thin-error.js';
import { missingCapability } from './mount-failure.js';

export interface KernelMountOptions {
  readonly fd: number;
  readonly target: string;
  readonly maxRead: number;
}

/**
 * mount(8) with the open /dev/fuse as its descriptor 3; the mount belongs to the open file, not to the child.
 * The caller answers requests meanwhile.
 * @throws ThinError missing-tool | permission | io
 */
export async function mountWith({ fd, target, maxRead }: KernelMountOptions): Promise<void> {
  const options = [
    'fd=3',
    'rootmode=40000',
    'user_id=0',
    'group_id=0',
    // Mounts and loop devices may be used from other user ids; the kernel checks the 0600 of the files.
    'allow_other',
    'default_permissions',
    `max_read=${maxRead}`,
  ];
  const child = spawn('mount', ['-i', '-t', 'fuse.thinfuse', '-o', options.join(','), 'thinfuse', target], {
    stdio: ['ignore', 'ignore', 'pipe', fd],
  });
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (piece: string) => (stderr += piece));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  }).catch((error: unknown) => {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
    throw missingTool('mount', error);
  });
  if (code === 0) return;
  const details = { path: target, stderr: stderr.trim() };
  throw (
    (await missingCapability(target, details)) ??
    new ThinError('io', `${target} could not be mounted: ${stderr.trim()}; see dmesg`, { details })
  );
}

/**
 * For a process that exits with its mount up. libuv joins its threads at exit. Threads that wait in read(2)
 * of /dev/fuse would block the process, and the users of the mount, for ever. A forced unmount ends the
 * connection without asking anything of this process.
 */
export function forceUnmount(target: string): void {
  spawnSync('umount', ['-i', '-c', '-f', '-l', target], { stdio: 'ignore' });
}
