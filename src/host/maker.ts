import { readFile } from 'node:fs/promises';
import { systemErrorCode } from '../errors/thin-error.js';
import { makerText, pidOf } from '../format/maker.js';

/** Undefined: there is no such process here. */
export async function makerOf(pid: number): Promise<string | undefined> {
  const start = await startOf(pid);
  return start === undefined ? undefined : makerText(pid, start, await bootId());
}

/** Whether the process lives. */
export async function isAtWork(maker: string): Promise<boolean> {
  const pid = pidOf(maker);
  return pid !== undefined && (await makerOf(pid)) === maker;
}

/** Undefined where the process is gone, or has ended and waits to be noticed. */
async function startOf(pid: number): Promise<string | undefined> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, 'latin1');
    // Fields count from behind the name, which may hold anything: the state is the third, the start time the
    // 22nd (proc(5)).
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ESRCH') return undefined;
    throw error;
  }
}

async function bootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'latin1')).trim();
}
