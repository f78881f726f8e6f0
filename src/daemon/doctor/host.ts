import { rm, mkdtemp } from 'node:fs/promises';
import { endianness, tmpdir } from 'node:os';
import path from 'node:path';
import { isNodeEnough, nodeNeeded } from '../../config/version.js';
import { toThinError } from '../../errors/thin-error.js';
import { mayMount } from '../../fuse/mount-failure.js';
import { requireFuseDevice } from '../../fuse/mount-point.js';
import {
  checkFilesystems,
  checkLoops,
  checkRelease,
  checkSpace,
  existingFolder,
} from '../../host/check-kernel.js';
import { checkTools } from '../../host/check-tools.js';
import { ChildProcessExec } from '../../host/exec.js';
import type { HostFinding } from '../../host/host-finding.js';
import { LoopDevices } from '../../host/loop-devices.js';

/** What this host has of the things that thinfuse needs for a pool in `root`, which need not be there. */
export async function lookAtHost(root: string): Promise<readonly HostFinding[]> {
  const exec = new ChildProcessExec();
  const isRoot = process.geteuid?.() === 0;
  const mounts = await mayMount();
  const folder = await existingFolder(root);
  return [
    ...(await nodeFindings()),
    ...(await checkTools(exec)),
    await fuseDevice(),
    mountRight(isRoot, mounts),
    ...(await checkLoops(new LoopDevices(exec), { attach: isRoot && mounts, folder })),
    ...checkRelease(),
    ...(await checkFilesystems()),
    await checkSpace(root),
  ];
}

async function nodeFindings(): Promise<readonly HostFinding[]> {
  const { node } = process.versions;
  const needed = nodeNeeded();
  const machine = `${process.platform}-${process.arch}`;
  const enough = isNodeEnough(node);
  return [
    {
      area: 'node',
      subject: 'Node.js',
      need: 'required',
      state: enough ? 'ok' : 'missing',
      message: enough ? process.execPath : `${node} is too old; install ${needed} or newer`,
      version: node,
    },
    {
      area: 'node',
      subject: 'machine',
      need: 'required',
      state: endianness() === 'LE' ? 'ok' : 'missing',
      message:
        endianness() === 'LE'
          ? machine
          : `${machine} is big-endian, which the kernel transport is not made for`,
    },
    await levelModule(machine),
    await fuseModule(),
  ];
}

/** Loads LevelDB and writes to a store, in a folder that goes again. */
async function levelModule(machine: string): Promise<HostFinding> {
  const finding = { area: 'node', subject: 'level', need: 'required' } as const;
  const scratch = await mkdtemp(path.join(tmpdir(), 'thinfuse-host-'));
  try {
    const { openLevelStore } = await import('../../store/level-store.js');
    const store = await openLevelStore(path.join(scratch, 'store'), { createIfMissing: true });
    await store.close();
    return { ...finding, state: 'ok', message: `loads, and writes a store` };
  } catch (error) {
    const { message } = toThinError(error);
    return { ...finding, state: 'missing', message: `does not work on ${machine}: ${message}` };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function fuseModule(): Promise<HostFinding> {
  const finding = { area: 'node', subject: 'fuse-native', need: 'optional' } as const;
  try {
    const { requireFuseNative } = await import('../../fuse/fuse-native-transport.js');
    await requireFuseNative();
    return { ...finding, state: 'ok', message: 'loads' };
  } catch (error) {
    return { ...finding, state: 'missing', message: toThinError(error).message };
  }
}

async function fuseDevice(): Promise<HostFinding> {
  const finding = { area: 'device', subject: '/dev/fuse', need: 'required' } as const;
  try {
    await requireFuseDevice();
    return { ...finding, state: 'ok', message: 'opens' };
  } catch (error) {
    const { code, message } = toThinError(error);
    return {
      ...finding,
      state: code === 'permission' && process.geteuid?.() !== 0 ? 'unknown' : 'missing',
      message,
    };
  }
}

function mountRight(isRoot: boolean, mounts: boolean): HostFinding {
  const finding = { area: 'device', subject: 'mounting', need: 'required' } as const;
  if (mounts) return { ...finding, state: 'ok', message: 'this process may' };
  return isRoot
    ? {
        ...finding,
        state: 'missing',
        message: 'root lacks CAP_SYS_ADMIN here; run the container with --privileged',
      }
    : { ...finding, state: 'unknown', message: 'root may; this process is not root' };
}
