import { readFile, readdir, readlink } from 'node:fs/promises';
import path from 'node:path';
import { parseMountTable } from '../format/mount-info.js';
import { MountTable, isBelow } from './mount-table.js';

export interface Holder {
  readonly pid: number;
  /** As /proc/PID/comm: 15 bytes at most. */
  readonly command: string;
  /** Where it works: a folder or file in the mount, or the target of a mount of its own. */
  readonly path: string;
}

export interface HolderLimits {
  /** Holders after which the search ends: a message names no more. */
  readonly holders: number;
  /** Open files of one process that are looked at. */
  readonly files: number;
}

const HOLDER_LIMITS: HolderLimits = { holders: 3, files: 256 };

/**
 * Processes that keep a mount busy: by working folder, root folder or an open file. Reads links of /proc
 * only, which touches no mount. Best effort: processes come and go, and a memory-mapped file or a loop device
 * on a file in it is not seen.
 */
export async function processesIn(
  target: string,
  limits: HolderLimits = HOLDER_LIMITS,
  proc = '/proc',
): Promise<readonly Holder[]> {
  const found: Holder[] = [];
  for (const pid of await pids(proc)) {
    const where = await placeBelow(path.join(proc, String(pid)), target, limits.files);
    if (where === undefined) continue;
    found.push({ pid, command: await commandOf(proc, pid), path: where });
    if (found.length >= limits.holders) break;
  }
  return found;
}

/**
 * Processes whose mount namespace, another than ours, has the filesystem of a loop device mounted; one a
 * namespace.
 */
export async function namespacesWith(
  loop: string,
  limits: HolderLimits = HOLDER_LIMITS,
  proc = '/proc',
): Promise<readonly Holder[]> {
  const found: Holder[] = [];
  const seen = new Set([await readlink(path.join(proc, 'self/ns/mnt')).catch(() => '')]);
  for (const pid of await pids(proc)) {
    const namespace = await readlink(path.join(proc, String(pid), 'ns/mnt')).catch(() => undefined);
    if (namespace === undefined || seen.has(namespace)) continue;
    seen.add(namespace);
    const text = await readFile(path.join(proc, String(pid), 'mountinfo'), 'utf8').catch(() => '');
    const row = new MountTable(parseMountTable(text)).ofLoop(loop)[0];
    if (row === undefined) continue;
    found.push({ pid, command: await commandOf(proc, pid), path: row.target });
    if (found.length >= limits.holders) break;
  }
  return found;
}

/** `bash (pid 12) in /mnt/a, cat (pid 13) in /mnt/a/f`; empty for none. */
export function describeHolders(holders: readonly Holder[]): string {
  return holders.map(({ pid, command, path: where }) => `${command} (pid ${pid}) in ${where}`).join(', ');
}

async function pids(proc: string): Promise<readonly number[]> {
  const names = await readdir(proc).catch(() => []);
  return names.filter((name) => /^\d+$/.test(name)).map(Number);
}

async function placeBelow(folder: string, target: string, maxFiles: number): Promise<string | undefined> {
  for (const name of ['cwd', 'root']) {
    const place = await readlink(path.join(folder, name)).catch(() => undefined);
    if (place !== undefined && isBelow(place, target)) return place;
  }
  const files = await readdir(path.join(folder, 'fd')).catch(() => []);
  for (const name of files.slice(0, maxFiles)) {
    const place = await readlink(path.join(folder, 'fd', name)).catch(() => undefined);
    if (place !== undefined && isBelow(place, target)) return place;
  }
  return undefined;
}

async function commandOf(proc: string, pid: number): Promise<string> {
  return (await readFile(path.join(proc, String(pid), 'comm'), 'utf8').catch(() => 'a process')).trim();
}
