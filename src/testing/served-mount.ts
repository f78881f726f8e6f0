import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import type { Transport } from '../fuse/transport.js';
import type { MemoryDirectory } from './memory-image.js';
import { until } from '../async/until.js';

/** What a test of a transport works on: one mount over a directory in memory. */
export interface Served {
  readonly transport: Transport;
  readonly directory: MemoryDirectory;
  /** The path of a name below the mount point. */
  readonly at: (name: string) => string;
}

export interface Finished {
  /** -1: the program could not run, or a signal ended it. */
  readonly code: number;
  readonly stderr: string;
}

/** A program that takes longer hangs on a dead mount. */
const COMMAND_LIMIT_MS = 120_000;

/** Runs a program without blocking this process, which serves the mount that the program uses. */
export function tryRun(command: string, args: readonly string[]): Promise<Finished> {
  const env = { ...process.env, LC_ALL: 'C' };
  const limits = { env, timeout: COMMAND_LIMIT_MS, killSignal: 'SIGKILL' } as const;
  return new Promise((resolve) => {
    execFile(command, [...args], limits, (error, _stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
      resolve({ code, stderr: code === -1 ? `${stderr}${error?.message}` : stderr });
    });
  });
}

/** How many mounts there are on a folder. */
export async function mountsOn(target: string): Promise<number> {
  const lines = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n');
  return lines.filter((line) => line.split(' ')[4] === target).length;
}

/** The test runner's own limit ends a wait that never succeeds. */
export async function eventually(condition: () => boolean | Promise<boolean>): Promise<void> {
  await until(condition, { limitMs: Infinity, pollMs: 10 });
}
