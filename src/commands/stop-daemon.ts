import { existsSync, readFileSync } from 'node:fs';
import { until } from '../async/until.js';
import type { RootLayout } from '../config/root-layout.js';
import { ThinError } from '../errors/thin-error.js';
import { isAtWork, makerOf } from '../host/maker.js';
import { processState } from '../host/process-state.js';
import { withDaemon } from './connect.js';
import type { Context } from './context.js';
import { whileWorking } from './progress.js';

/** Closing may write what is staged and wait for LevelDB's compaction. */
export const STOP_PATIENCE = { limitMs: 60_000, pollMs: 20 };

/** Resolves to its pid when it is gone. Errors: not-running, busy (a filesystem is in use), timeout. */
export async function stopDaemon(context: Context, { force }: { force: boolean }): Promise<number> {
  return whileWorking(context, 'stopping:', async (say) => {
    const { pid, processes } = await withDaemon(context, async (caller) => {
      const { pid, devices } = await caller.call('status', {});
      say(`unmounting ${devices.mounted} devices`);
      const supervisor = supervisorOf(pid);
      const processes = [
        await makerOf(pid),
        supervisor === undefined ? undefined : await makerOf(supervisor),
      ];
      await caller.call('stop', { force });
      return { pid, processes };
    });
    say('closing the pool');
    await ended(context.layout, pid, processes);
    return pid;
  });
}

/**
 * After it answered, the daemon unmounts FUSE, commits and closes the store: done when its pid file is gone,
 * and all of `processes`, which keep the disk of the root busy.
 */
async function ended(
  { pid: file, root }: RootLayout,
  pid: number,
  processes: readonly (string | undefined)[],
): Promise<void> {
  const isOver = async (): Promise<boolean> => {
    if (existsSync(file)) return false;
    for (const each of processes) if (each !== undefined && (await isAtWork(each))) return false;
    return true;
  };
  if (await until(isOver, STOP_PATIENCE)) return;
  throw new ThinError(
    'timeout',
    `the daemon of ${root} (pid ${pid}) has unmounted everything but is still closing its pool; its log says more: ${root}/thinfuse.log`,
    { details: { pid } },
  );
}

/** The process that holds the connection of a daemon and has the root's log open. */
function supervisorOf(daemon: number): number | undefined {
  if (!wordsOf(daemon).includes('--kept-connection')) return undefined;
  const parent = processState(daemon)?.parent;
  // A supervisor that died has left its daemon to another process.
  return parent !== undefined && wordsOf(parent).includes('--supervised') ? parent : undefined;
}

function wordsOf(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return [];
  }
}
