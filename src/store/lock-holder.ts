import { readFile, stat } from 'node:fs/promises';

export interface LockHolder {
  readonly pid: number;
  /** As ps shows it; empty where it cannot be read. */
  readonly command: string;
}

/**
 * The process that holds a POSIX lock on a file, or undefined where /proc does not tell (another pid
 * namespace, an overlay file system). Only looks: opening and closing a file that this process has locked
 * would drop the lock (fcntl(2)).
 */
export async function findLockHolder(path: string): Promise<LockHolder | undefined> {
  try {
    const { dev, ino } = await stat(path, { bigint: true });
    const place = `${hex(deviceMajor(dev))}:${hex(deviceMinor(dev))}:${ino}`;
    for (const line of (await readFile('/proc/locks', 'utf8')).split('\n')) {
      const fields = line.trim().split(/\s+/);
      const pid = Number(fields[4]);
      if (fields[1] === 'POSIX' && fields[5] === place && pid > 0)
        return { pid, command: await commandOf(pid) };
    }
  } catch {
    // The message then does without the holder of the lock.
  }
  return undefined;
}

async function commandOf(pid: number): Promise<string> {
  try {
    const words = await readFile(`/proc/${pid}/cmdline`, 'utf8');
    return words.replaceAll('\0', ' ').trim();
  } catch {
    return '';
  }
}

/** makedev(3) as glibc packs it. */
function deviceMajor(dev: bigint): bigint {
  return ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & 0xfffff000n);
}

function deviceMinor(dev: bigint): bigint {
  return (dev & 0xffn) | ((dev >> 12n) & 0xffffff00n);
}

function hex(n: bigint): string {
  return n.toString(16).padStart(2, '0');
}
