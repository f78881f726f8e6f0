import { systemErrorCode } from '../errors/thin-error.js';
import type { Caller } from '../daemon/api.js';

/** Devices that a command makes for itself, and that end with it. */
const PASSING = /^thinfuse-passing-(\d+)-\d+$/;

let made = 0;

export function passingName(): string {
  return `thinfuse-passing-${String(process.pid)}-${String(++made)}`;
}

export function isPassing(name: string): boolean {
  return PASSING.test(name);
}

/** Removes what commands left that were killed. */
export async function sweepPassing(caller: Caller): Promise<void> {
  for (const { name } of await caller.call('device.list', {})) {
    const pid = PASSING.exec(name)?.[1];
    // One that is in use after all is busy, and stays.
    if (pid !== undefined && !isAlive(Number(pid)))
      await caller.call('device.remove', { name }).catch(() => undefined);
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemErrorCode(error) === 'EPERM';
  }
}
