import { mkdtemp, open, readFile, rm, stat, statfs } from 'node:fs/promises';
import { release } from 'node:os';
import path from 'node:path';
import { systemErrorCode, toThinError } from '../errors/thin-error.js';
import type { Filesystem } from './filesystems.js';
import type { HostFinding } from './host-finding.js';
import type { LoopDevices } from './loop-devices.js';

const LOOP_CONTROL = '/dev/loop-control';
const LOOP_REMEDY =
  'load the driver with: modprobe loop; in a container, run it with --privileged -v /dev:/dev';
const MIB = 2 ** 20;
/** Bytes of the file that a loop device is tried on. */
const TRIAL_BYTES = MIB;
/** Bytes that LevelDB's logs and tables take before a pool holds anything. */
const SPACE_NEEDED = 256 * MIB;
/** FUSE_NOTIFY_RESEND, by which a daemon can follow another. */
const RESEND_SINCE = [6, 9] as const;

/** Linux itself. `text`: as uname -r has it. */
export function checkRelease(text = release()): readonly HostFinding[] {
  const [major = 0, minor = 0] = text.split(/[.-]/).map(Number);
  const [sinceMajor, sinceMinor] = RESEND_SINCE;
  const canResend = major > sinceMajor || (major === sinceMajor && minor >= sinceMinor);
  return [
    { area: 'kernel', subject: 'Linux', need: 'required', state: 'ok', message: text, version: text },
    {
      area: 'kernel',
      subject: 'FUSE resend',
      need: 'optional',
      state: canResend ? 'ok' : 'missing',
      message: canResend
        ? 'start --supervised can replace a daemon under its mounts'
        : `start --supervised and restart need Linux ${RESEND_SINCE.join('.')} or newer`,
    },
  ];
}

/** The filesystems that devices carry. xfs is required unless there is ext4 to do instead. */
export async function checkFilesystems(
  proc = '/proc',
  modules = '/lib/modules',
): Promise<readonly HostFinding[]> {
  const states = {
    xfs: await filesystemState('xfs', proc, modules),
    ext4: await filesystemState('ext4', proc, modules),
  };
  const words = {
    ok: 'the kernel has it',
    unknown: 'not loaded; the kernel loads it when it is first mounted, if it has it',
  };
  const missing = (name: Filesystem): string =>
    name === 'xfs' && states.ext4 !== 'missing'
      ? 'this kernel has none; make the pool with: thinfuse init --fs ext4'
      : `this kernel has none; load it with: modprobe ${name}`;
  return (['xfs', 'ext4'] as const).map((name) => {
    const state = states[name];
    return {
      area: 'kernel',
      subject: name,
      need: name === 'xfs' && states.ext4 === 'missing' ? 'required' : 'optional',
      state,
      message: state === 'missing' ? missing(name) : words[state],
    };
  });
}

/** `unknown`: it is no part of what is loaded, and this root has no list of what could be. */
async function filesystemState(
  name: Filesystem,
  proc: string,
  modules: string,
): Promise<HostFinding['state']> {
  const loaded = await readFile(path.join(proc, 'filesystems'), 'utf8');
  if (new RegExp(`\\t${name}$`, 'm').test(loaded)) return 'ok';
  const lists = await Promise.all(
    ['modules.dep', 'modules.builtin'].map((list) =>
      readFile(path.join(modules, release(), list), 'utf8').catch(() => undefined),
    ),
  );
  if (lists.every((list) => list === undefined)) return 'unknown';
  return lists.some((list) => list?.includes(`/${name}.ko`) === true) ? 'ok' : 'missing';
}

/**
 * The control file; as root (`attach`), also whether a file of `folder` can be attached, with direct I/O, by
 * doing it for a moment.
 */
export async function checkLoops(
  loops: LoopDevices,
  { attach, folder }: { readonly attach: boolean; readonly folder: string },
): Promise<readonly HostFinding[]> {
  const finding = { area: 'device', subject: 'loop devices', need: 'required' } as const;
  const direct = { area: 'device', subject: 'loop direct I/O', need: 'optional' } as const;
  const code = await stat(LOOP_CONTROL).then(
    () => undefined,
    (error: unknown) => systemErrorCode(error) ?? 'unknown',
  );
  if (code !== undefined)
    return [
      { ...finding, state: 'missing', message: `${LOOP_CONTROL} is missing (${code}); ${LOOP_REMEDY}` },
    ];
  if (!attach) {
    const message = 'not tried; run as root to have one attached for a moment';
    return [
      { ...finding, state: 'unknown', message: `${LOOP_CONTROL} is there; ${message}` },
      { ...direct, state: 'unknown', message },
    ];
  }
  try {
    const { directIo } = await tryLoop(loops, folder);
    return [
      { ...finding, state: 'ok', message: `a file in ${folder} could be attached` },
      {
        ...direct,
        state: directIo ? 'ok' : 'missing',
        message: directIo ? 'on' : `refused for a file in ${folder}: what is read may be cached twice`,
      },
    ];
  } catch (error) {
    return [{ ...finding, state: 'missing', message: toThinError(error).message }];
  }
}

async function tryLoop(loops: LoopDevices, folder: string): Promise<{ directIo: boolean }> {
  const scratch = await mkdtemp(path.join(folder, '.thinfuse-host-'));
  try {
    const file = path.join(scratch, 'trial');
    const handle = await open(file, 'w');
    await handle.truncate(TRIAL_BYTES).finally(() => handle.close());
    const { device, backingFile, directIo } = await loops.attach(file);
    await loops.detach(device, backingFile);
    return { directIo };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Of the disk that a pool in `root`, which need not be there, would be on. */
export async function checkSpace(root: string): Promise<HostFinding> {
  const folder = await existingFolder(root);
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  const enough = free >= SPACE_NEEDED;
  return {
    area: 'space',
    subject: folder,
    need: 'required',
    state: enough ? 'ok' : 'missing',
    message: `${Math.floor(free / MIB)} MiB free for a pool in ${root}${enough ? '' : `; ${SPACE_NEEDED / MIB} MiB are the least: make room, or choose another place with --root`}`,
  };
}

/** The nearest folder above that exists. */
export async function existingFolder(place: string): Promise<string> {
  for (let folder = path.resolve(place); ; folder = path.dirname(folder)) {
    const found = await stat(folder).catch(() => undefined);
    if (found?.isDirectory() === true || folder === '/') return folder;
  }
}
