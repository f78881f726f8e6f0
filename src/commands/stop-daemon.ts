import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { until } from '../async/until.js';
import type { RootLayout } from '../config/root-layout.js';
import { ThinError } from '../errors/thin-error.js';
import { withDaemon } from './connect.js';
import type { Context } from './context.js';
import { whileWorking } from './progress.js';

/** Closing may write what is staged and wait for LevelDB's compaction. */
export const STOP_PATIENCE = { limitMs: 60_000, pollMs: 20 };

/** Resolves to its pid when it is gone. Errors: not-running, busy (a filesystem is in use), timeout. */
export async function stopDaemon(context: Context, { force }: { force: boolean }): Promise<number> {
  return whileWorking(context, 'stopping:', async (say) => {
    const pid = await withDaemon(context, async (caller) => {
      const { pid, devices } = await caller.call('status', {});
      say(`unmounting ${devices.mounted} devices`);
      await caller.call('stop', { force });
      return pid;
    });
    say('closing the pool');
    await ended(context.layout, pid);
    return pid;
  });
}

/**
 * After it answered, the daemon unmounts FUSE, commits and closes the store: done when its pid file and
 * itself are gone.
 */
async function ended({ pid: file, root }: RootLayout, pid: number): Promise<void> {
  const isOver = async (): Promise<boolean> => !existsSync(file) && !(await isRunning(pid));
  if (await until(isOver, STOP_PATIENCE)) return;
  throw new ThinError(
    'timeout',
    `the daemon of ${root} (pid ${pid}) has unmounted everything but is still closing its pool; its log says more: ${root}/thinfuse.log`,
    { details: { pid } },
  );
}

/** A zombie has ended; in a container there may be no process that reaps it. */
async function isRunning(pid: number): Promise<boolean> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const state = text.slice(text.lastIndexOf(')') + 2, text.lastIndexOf(')') + 3);
  return state !== '' && state !== 'Z';
}
