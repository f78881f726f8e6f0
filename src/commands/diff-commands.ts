import type { Command } from 'commander';
import type { Change } from '../host/changes.js';
import { ChildProcessExec } from '../host/exec.js';
import { withDevices } from './connect.js';
import { contextOf } from './context.js';
import { example } from './example.js';
import { requireComplete } from './incomplete.js';
import { print, printJson } from './output.js';
import { whileWorking } from './progress.js';

export function registerDiffCommands(program: Command): void {
  program
    .command('diff')
    .summary('show which files changed')
    .description(
      'Prints the files that were added (A), changed (C) or deleted (D) in A since its origin, or compared with B, as docker diff does.',
    )
    .argument('<a>', 'the device to look at')
    .argument('[b]', 'the device to compare it with; default: its origin')
    .addHelpText('after', example('thinfuse diff web1', 'thinfuse diff web1 web2'))
    .action(async (name: string, other: string | undefined, _options: unknown, command: Command) => {
      const context = contextOf(command);
      const { changedFiles } = await import('../transfer/diff.js');
      const exec = new ChildProcessExec();
      const { changes, lacks } = await whileWorking(context, 'comparing', (say) =>
        withDevices(context, (caller) =>
          changedFiles(caller, exec, name, other, (count) => say(`${count} changes`)),
        ),
      );
      if (context.json) printJson(changes.map(({ kind, path }) => ({ kind, path })));
      else print(changes.map(line).join(''));
      for (const text of lacks) requireComplete(name, { lacks: text });
    });
}

/** Names are bytes: what is no UTF-8 goes out as it is. */
function line({ kind, rawPath }: Change): Uint8Array {
  return Buffer.concat([Buffer.from(`${kind} `), rawPath, Buffer.from('\n')]);
}
