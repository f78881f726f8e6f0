import { existsSync, readFileSync } from 'node:fs';
import { SocketClient } from '../api/client.js';
import { retried, until } from '../async/until.js';
import type { RootLayout } from '../config/root-layout.js';
import { ThinError, type ThinErrorCode } from '../errors/thin-error.js';
import { isAtWork, makerOf } from '../host/maker.js';
import { processState } from '../host/process-state.js';
import { childrenOf } from '../host/process-tree.js';
import { isBeingReplaced } from './handover.js';

/** Closing may write what is staged and wait for LevelDB's compaction. */
const PATIENCE = { limitMs: 60_000, pollMs: 20 };

/**
 * The daemon, and what ends after it and has files of the root open, which are its supervisor and the process
 * that runs its tools: as `isAtWork` knows them.
 */
export async function processesOf(pid: number): Promise<readonly string[]> {
  const pids = [pid, ...childrenOf(pid), supervisorOf(pid)].filter((each) => each !== undefined);
  return (await Promise.all(pids.map((each) => makerOf(each)))).filter((each) => each !== undefined);
}

/**
 * After it answered, the daemon unmounts FUSE, commits and closes the store: done when all of `processes` are
 * gone, which keep the disk of the root busy. Where the host does not show them, its pid file tells.
 */
export async function daemonEnded(
  { pid: file, root }: RootLayout,
  pid: number,
  processes: readonly string[],
): Promise<void> {
  const isOver = async (): Promise<boolean> => {
    // A disk that was mounted read-only meanwhile keeps the file.
    if (processes.length === 0) return !existsSync(file);
    for (const each of processes) if (await isAtWork(each)) return false;
    return true;
  };
  if (await until(isOver, PATIENCE)) return;
  throw new ThinError(
    'timeout',
    `the daemon of ${root} (pid ${pid}) has unmounted everything but is still closing its pool; its log says more: ${root}/thinfuse.log`,
    { details: { pid } },
  );
}

/** The pid of the daemon that serves after the one that is given. @throws ThinError timeout */
export async function nextDaemon({ socket, log }: RootLayout, old: number): Promise<number> {
  const client = new SocketClient(socket, { timeoutMs: PATIENCE.limitMs });
  let pid = old;
  const isNew = async (): Promise<boolean> => {
    pid = await client.call('status', {}).then(
      (status) => status.pid,
      () => old,
    );
    return pid !== old;
  };
  if (await until(isNew, PATIENCE)) return pid;
  throw new ThinError('timeout', `no daemon followed the one with pid ${old}; ${log} says why`);
}

/** How a call ends whose daemon does. */
const GONE: ReadonlySet<ThinErrorCode> = new Set(['closed', 'not-running']);

/** Does `work` again if the daemon ends meanwhile and another one follows it. */
export function acrossDaemons<T>(layout: RootLayout, work: () => Promise<T>): Promise<T> {
  const isFollowed = async (error: unknown): Promise<boolean> =>
    error instanceof ThinError && GONE.has(error.code) && (await isDaemonBack(layout));
  return retried(work, isFollowed, { limitMs: Infinity, pollMs: 0 });
}

/** Waits until a daemon answers again, where one goes on. */
async function isDaemonBack({ socket, root }: RootLayout): Promise<boolean> {
  const client = new SocketClient(socket, { timeoutMs: PATIENCE.limitMs });
  const serves = (): Promise<boolean> =>
    client.call('status', {}).then(
      () => true,
      () => false,
    );
  let isBack = false;
  await until(async () => (isBack = await serves()) || !isBeingReplaced({ root }), PATIENCE);
  return isBack;
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
