import type { Incompleteness } from '../api/operations.js';
import { withDaemon } from './connect.js';
import type { Context } from './context.js';
import { whileWorking } from './progress.js';

/** Resolves when it is gone. Errors: not-running, busy (a filesystem is in use), timeout. */
export async function stopDaemon(
  context: Context,
  { force }: { force: boolean },
): Promise<{ readonly pid: number } & Incompleteness> {
  const { daemonEnded, processesOf } = await import('../daemon/daemon-end.js');
  return whileWorking(context, 'stopping:', async (say) => {
    const { processes, ...stopped } = await withDaemon(context, async (caller) => {
      const { pid, devices } = await caller.call('status', {});
      say(`unmounting ${devices.mounted} ${devices.mounted === 1 ? 'device' : 'devices'}`);
      const processes = await processesOf(pid);
      const { lacks } = await caller.call('stop', { force });
      return { pid, lacks, processes };
    });
    say('closing the pool');
    await daemonEnded(context.layout, stopped.pid, processes);
    return stopped;
  });
}
