import { execFile } from 'node:child_process';
import { access, open, readFile, realpath, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { HostTool } from '../config/host-tools.js';
import { missingTool } from '../config/missing-tool.js';
import { ThinError, systemErrorCode } from '../errors/thin-error.js';
import { parseMountTable, type MountRow } from '../format/mount-info.js';

const FUSE_DEVICE = '/dev/fuse';
const LOAD_HINT = 'load it with `modprobe fuse`, or run the container with --device /dev/fuse';

/** What is mounted on exactly this folder, if anything. `mountPoint` as `resolveMountPoint` gives it. */
export async function mountedOn(mountPoint: string): Promise<MountRow | undefined> {
  const rows = parseMountTable(await readFile('/proc/self/mountinfo', 'utf8'));
  return rows.findLast(({ target }) => target === mountPoint);
}

/**
 * The path that mountinfo will show. A folder that is a mount already is not looked at itself: behind it may
 * be a server that never answers.
 * @throws ThinError not-found, with the folder to create.
 */
export async function resolveMountPoint(folder: string): Promise<string> {
  const absolute = path.resolve(folder);
  try {
    const parent = await realpath(path.dirname(absolute));
    const direct = path.join(parent, path.basename(absolute));
    if ((await mountedOn(direct)) !== undefined) return direct;
    return await realpath(direct);
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
    throw new ThinError('not-found', `mount point ${absolute} does not exist; create the folder first`, {
      cause: error,
      details: { path: absolute },
    });
  }
}

/** @throws ThinError busy, naming what is mounted there. */
export async function requireFreeMountPoint(mountPoint: string): Promise<void> {
  const there = await mountedOn(mountPoint);
  if (there === undefined) return;
  throw new ThinError(
    'busy',
    `${there.source} (${there.type}) is mounted on ${mountPoint}; unmount it first: umount ${mountPoint}`,
    { details: { path: mountPoint, source: there.source, type: there.type } },
  );
}

/**
 * Whether the filesystem with this device number still lives: mounted, or unmounted lazily with files open.
 * True by mistake where the kernel has given the number to another one by now.
 */
export async function filesystemLives(device: string): Promise<boolean> {
  return access(`/sys/class/bdi/${device}`).then(
    () => true,
    () => false,
  );
}

/** Opens /dev/fuse for reading and writing and closes it. @throws ThinError missing-device | permission */
export async function requireFuseDevice(device = FUSE_DEVICE): Promise<void> {
  try {
    const handle = await open(device, 'r+');
    await handle.close();
  } catch (error) {
    throw fuseDeviceError(error, device);
  }
}

/** What a failed open(2) of /dev/fuse means. */
export function fuseDeviceError(error: unknown, device = FUSE_DEVICE): ThinError {
  const code = systemErrorCode(error);
  const options = { cause: error, details: { path: device } };
  if (code === 'EACCES' || code === 'EPERM')
    return new ThinError('permission', `${device} cannot be opened (${code}); run as root`, options);
  if (code === 'ENOENT' || code === 'ENODEV' || code === 'ENXIO')
    return new ThinError('missing-device', `${device} is missing (${code}); ${LOAD_HINT}`, options);
  return new ThinError('io', `${device} cannot be opened: ${String(error)}`, options);
}

/**
 * Unmounts `mountPoint` if `device` is what is mounted there; lazily when files are open in it. In a child
 * process, so that the serving process can answer what the unmount asks of it.
 * @throws ThinError missing-tool | tool-failed
 */
export async function leaveMountPoint(mountPoint: string, device: string): Promise<void> {
  if (!(await unmountPlainly(mountPoint, device))) await umount(['-l', mountPoint], mountPoint);
}

/** As `leaveMountPoint`, but never lazily: false where it is still mounted, because files are open in it. */
export async function unmountPlainly(mountPoint: string, device: string): Promise<boolean> {
  const gone = async (): Promise<boolean> => (await mountedOn(mountPoint))?.device !== device;
  if (await gone()) return true;
  try {
    await umount([mountPoint], mountPoint);
    return true;
  } catch (error) {
    if (error instanceof ThinError && error.code === 'missing-tool') throw error;
    return gone();
  }
}

const CONNECTIONS = '/sys/fs/fuse/connections';

/**
 * Ends the FUSE connection of the filesystem with this device number, wherever it is still mounted: a process
 * that reads requests from it is told, and every call on it fails. False where it is gone already, or the
 * kernel's control files cannot be had.
 */
export async function abortConnection(device: string): Promise<boolean> {
  const file = path.join(CONNECTIONS, device.split(':')[1] ?? '', 'abort');
  const abort = (): Promise<boolean> =>
    writeFile(file, '1').then(
      () => true,
      () => false,
    );
  if (await abort()) return true;
  // Containers and small systems often lack it.
  await execute('mount', ['-i', '-t', 'fusectl', 'fusectl', CONNECTIONS]).catch(() => undefined);
  return abort();
}

async function umount(args: readonly string[], mountPoint: string): Promise<void> {
  // -i -c: no helper and no path lookup through the mount, which may be dead.
  const done = await execute('umount', ['-i', '-c', ...args]);
  if (done.code === 0) return;
  throw new ThinError(
    'tool-failed',
    `${mountPoint} could not be unmounted: ${done.stderr.trim()}; close what uses it and try again`,
    { details: { path: mountPoint, tool: 'umount' } },
  );
}

interface Executed {
  readonly code: number;
  readonly stderr: string;
}

/** @throws ThinError missing-tool */
function execute(tool: HostTool, args: readonly string[]): Promise<Executed> {
  return new Promise((resolve, reject) => {
    execFile(tool, [...args], (error, _stdout, stderr) => {
      if (error === null) resolve({ code: 0, stderr });
      else if (error.code === 'ENOENT') reject(missingTool(tool, error));
      else resolve({ code: Number(error.code) || 1, stderr });
    });
  });
}
