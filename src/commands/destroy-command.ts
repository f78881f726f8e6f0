import type { Command } from 'commander';
import { formatBinarySize } from '../config/sizes.js';
import { requirePool } from '../daemon/pool-folder.js';
import { ThinError } from '../errors/thin-error.js';
import { answers } from '../host/private-socket.js';
import { openWhenFree } from '../daemon/open-when-free.js';
import { requireNotBeingReplaced, withPool } from './connect.js';
import { contextOf, rootFlag, type Context } from './context.js';
import { example } from './example.js';
import { note, printResult } from './output.js';
import { stopDaemon } from './stop-daemon.js';

export function registerDestroyCommand(program: Command): void {
  program
    .command('destroy')
    .summary('remove the pool with all its devices')
    .description(
      "Stops the daemon, wipes the label of the pool's disk and removes the pool's files. All devices are lost. Without --yes, only prints what would be lost. A data file stays, without its label.",
    )
    .option('-y, --yes', 'do it')
    .option('-f, --force', 'unmount devices in use lazily')
    .addHelpText('after', example('thinfuse destroy --yes'))
    .action(async ({ yes = false, force = false }: { yes?: boolean; force?: boolean }, command: Command) => {
      const context = contextOf(command);
      const { layout } = context;
      requirePool(layout);
      if (!yes) throw await refusal(context);
      if (await answers(layout.socket)) await stopDaemon(context, { force });
      const { destroyPool } = await import('../daemon/destroy-pool.js');
      const { ChildProcessExec } = await import('../host/exec.js');
      const { data } = await openWhenFree(async () => {
        await requireNotBeingReplaced(layout);
        return destroyPool(layout, new ChildProcessExec());
      });
      printResult(
        context,
        { root: layout.root, data },
        `ended the pool in ${layout.root}${data === undefined ? '' : ` and wiped its label from ${data}`}`,
      );
      if (data?.startsWith('/dev/') === false && !context.json)
        note(`the file ${data} stays and still takes its space; remove it with: rm ${data}`);
    });
}

/** What would be lost, in words. */
async function refusal(context: Context): Promise<ThinError> {
  const { root } = context.layout;
  const what = await withPool(context, async (caller) => {
    const { dataUsed } = await caller.call('pool.info', {});
    const { length } = await caller.call('device.list', {});
    return ` with ${length} device${length === 1 ? '' : 's'} and ${formatBinarySize(dataUsed)} of data`;
  }).catch(() => '');
  return new ThinError(
    'invalid-argument',
    `thinfuse destroy removes the pool in ${root}${what}; to confirm, run: thinfuse destroy --yes${rootFlag(context)}`,
  );
}
