import { readFile } from 'node:fs/promises';
import { makerText, pidOf } from '../format/maker.js';
import { processState } from './process-state.js';

/** Undefined: there is no such process here. */
export async function makerOf(pid: number): Promise<string | undefined> {
  const start = processState(pid)?.startedAt;
  return start === undefined ? undefined : makerText(pid, start, await bootId());
}

/** Whether the process lives. */
export async function isAtWork(maker: string): Promise<boolean> {
  const pid = pidOf(maker);
  return pid !== undefined && (await makerOf(pid)) === maker;
}

async function bootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'latin1')).trim();
}
