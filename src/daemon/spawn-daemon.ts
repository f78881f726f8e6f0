import { spawn, type ChildProcess } from 'node:child_process';
import { readFile, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import * as z from 'zod';
import { systemErrorCode, ThinError } from '../errors/thin-error.js';
import { ended } from '../host/child-end.js';
import { openOwnFile } from '../host/own-paths.js';
import type { RootLayout } from '../config/root-layout.js';
import { unpackError } from '../api/wire.js';

/** What a daemon's environment has, where it does not say otherwise. */
const TUNING = {
  // libuv's default of 4 is fewer than the calls that block on a daemon's own FUSE mount and on LevelDB at
  // one time.
  UV_THREADPOOL_SIZE: '16',
  // glibc's default of 8 a processor: each thread keeps what it has freed, and the daemon has 30 threads.
  MALLOC_ARENA_MAX: '2',
};

const SHOWN_LOG_LINES = 8;

/** What a daemon tells the process that started it, once. */
export type StartMessage = { readonly ready: { readonly pid: number } } | { readonly failure: unknown };

export const startMessage = z.union([
  z.object({ ready: z.object({ pid: z.number() }) }),
  z.object({ failure: z.record(z.string(), z.unknown()) }),
]);

export interface SpawnRequest {
  readonly layout: RootLayout;
  /** The program that this process runs, and the arguments that make it a daemon in the foreground. */
  readonly args: readonly string[];
  /** It ends with this process, or with `end`. */
  readonly temporary: boolean;
}

export interface SpawnedDaemon {
  readonly pid: number;
  /** For a temporary one: asks it to stop and waits until it is gone. */
  end(): Promise<void>;
}

/**
 * Starts a daemon in a process and a session of its own and waits until it serves. What it prints goes to the
 * root's log. Errors: whatever kept it from starting, as it threw it.
 */
export async function spawnDaemon({ layout, args, temporary }: SpawnRequest): Promise<SpawnedDaemon> {
  const log = await openLog(layout.log);
  let child: ChildProcess;
  try {
    const entry = process.argv[1] ?? '';
    child = spawn(process.execPath, [...process.execArgv, entry, ...args], {
      detached: true,
      env: { ...TUNING, ...process.env },
      stdio: ['ignore', log.fd, log.fd, 'ipc'],
    });
  } finally {
    await log.close();
  }
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const pid = await started(child, layout).catch(async (error: unknown) => {
    // Its log keeps the filesystem busy, and the caller may want to unmount that after the failure.
    await ended(child);
    throw error;
  });
  if (!temporary) {
    child.disconnect();
    child.unref();
  }
  return {
    pid,
    end: async () => {
      if (child.connected) child.disconnect();
      await gone;
    },
  };
}

async function started(child: ChildProcess, layout: RootLayout): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      void lastLines(layout.log).then((said) => {
        reject(
          new ThinError(
            'internal',
            `the daemon ended before it served anything (${signal ?? `exit code ${code}`}); ${layout.log} ends with: ${said}`,
          ),
        );
      });
    });
    child.once('message', (message) => {
      const parsed = startMessage.safeParse(message);
      if (parsed.success && 'ready' in parsed.data) resolve(parsed.data.ready.pid);
      else reject(unpackError(parsed.success && 'failure' in parsed.data ? parsed.data.failure : message));
    });
  });
}

async function openLog(file: string): Promise<FileHandle> {
  try {
    return await openOwnFile(file, 'append');
  } catch (error) {
    if (error instanceof ThinError) throw error;
    const code = systemErrorCode(error);
    if (code === 'ENOENT') {
      const root = path.dirname(file);
      throw new ThinError(
        'no-pool',
        `there is no pool in ${root}; make one with: thinfuse init --root ${root}`,
        {
          cause: error,
        },
      );
    }
    if (code === 'EACCES' || code === 'EPERM')
      throw new ThinError('permission', `${file} cannot be written; run this as root`, { cause: error });
    if (code === 'ENOSPC')
      throw new ThinError('no-space', `the disk of ${file} is full; make room, then start again`, {
        cause: error,
      });
    if (code === 'EROFS')
      throw new ThinError(
        'read-only',
        `the disk of ${file} is mounted read-only; remount it for writing, then start again`,
        { cause: error },
      );
    throw new ThinError('io', `the log ${file} cannot be opened: ${String(error)}`, { cause: error });
  }
}

async function lastLines(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch(() => '');
  return text.trim().split('\n').slice(-SHOWN_LOG_LINES).join('\n');
}
