import { Daemon, type DaemonParts } from './daemon.js';
import type { StartMessage } from './spawn-daemon.js';
import { packError } from '../api/wire.js';

const SIGNALS = ['SIGTERM', 'SIGINT'] as const;

/**
 * Runs a daemon in this process until it is stopped by a signal, by the operation `stop`, or by the end of
 * its FUSE mount. SIGHUP has the log opened again, and never ends the pool: a terminal that closes sends it
 * too. `notify`: the process that started this one waits on an IPC channel for how it went. `temporary`: the
 * end of that channel is the end of the daemon, so that it cannot outlive a command that was killed.
 */
export async function runForeground(
  parts: DaemonParts,
  options: { notify: boolean; temporary: boolean },
): Promise<void> {
  // A daemon does not keep the filesystem busy that it happened to be started from.
  if (options.notify) process.chdir('/');
  let daemon: Daemon | undefined;
  let early: string | undefined;
  const stop = (reason: string): void => {
    if (daemon === undefined) early = reason;
    else void daemon.stop(reason);
  };
  const reopenLog = (): void => parts.reopenLog?.();
  process.on('SIGHUP', reopenLog);
  for (const signal of SIGNALS) process.on(signal, stop);
  if (options.temporary) {
    const abandoned = (): void => stop('the command that needed it has ended');
    if (process.connected) process.once('disconnect', abandoned);
    else abandoned();
  }
  try {
    daemon = await Daemon.start(parts);
  } catch (error) {
    if (options.notify) await tell({ failure: packError(error) });
    throw error;
  }
  await parts.notifyManager?.('READY=1', `serving ${parts.layout.root}`);
  if (options.notify) await tell({ ready: { pid: process.pid } });
  if (early !== undefined) stop(early);
  await daemon.ended;
  for (const signal of SIGNALS) process.off(signal, stop);
  process.off('SIGHUP', reopenLog);
}

async function tell(message: StartMessage): Promise<void> {
  await new Promise<void>((resolve) => {
    if (process.send === undefined || !process.connected) resolve();
    else process.send(message, () => resolve());
  });
}
