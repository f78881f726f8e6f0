import { withDaemon } from './connect.js';
import type { Context } from './context.js';
import { whileWorking } from './progress.js';

/** Resolves to its pid when it is gone. Errors: not-running, busy (a filesystem is in use), timeout. */
export async function stopDaemon(context: Context, { force }: { force: boolean }): Promise<number> {
  const { daemonEnded, processesOf } = await import('../daemon/daemon-end.js');
  return whileWorking(context, 'stopping:', async (say) => {
    const { pid, processes } = await withDaemon(context, async (caller) => {
      const { pid, devices } = await caller.call('status', {});
      say(`unmounting ${devices.mounted} ${devices.mounted === 1 ? 'device' : 'devices'}`);
      const processes = await processesOf(pid);
      await caller.call('stop', { force });
      return { pid, processes };
    });
    say('closing the pool');
    await daemonEnded(context.layout, pid, processes);
    return pid;
  });
}
