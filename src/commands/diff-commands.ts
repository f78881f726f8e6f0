import type { Command } from 'commander';
import type { Caller, Incompleteness } from '../api/operations.js';
import { ThinError } from '../errors/thin-error.js';
import { changes, type Change } from '../host/changes.js';
import { ChildProcessExec } from '../host/exec.js';
import { withDevices } from './connect.js';
import { contextOf } from './context.js';
import { example } from './example.js';
import { requireComplete } from './incomplete.js';
import { print, printJson } from './output.js';
import { rootfsOf, withEmptyFolder } from './rootfs.js';

export function registerDiffCommands(program: Command): void {
  program
    .command('diff')
    .summary('show which files changed')
    .description(
      'Prints the files that were added (A), changed (C) or deleted (D) in A since its origin, or compared with B, as docker diff does.',
    )
    .argument('<a>', 'the device to look at')
    .argument('[b]', 'the device to compare it with; its origin otherwise')
    .addHelpText('after', example('thinfuse diff web1', 'thinfuse diff web1 web2'))
    .action(async (name: string, other: string | undefined, _options: unknown, command: Command) => {
      const context = contextOf(command);
      await withDevices(context, async (caller) => {
        const against = other ?? (await originOf(caller, name));
        const views: Incompleteness[] = [];
        const found = await viewing(caller, against, views, (before) =>
          viewing(caller, name, views, (after) => collect(before, after)),
        );
        if (context.json) printJson(found.map(({ kind, path }) => ({ kind, path })));
        else print(found.map(line).join(''));
        for (const view of views) requireComplete(name, view);
      });
    });
}

/** The device's files, mounted while `work` reads them; an empty folder where it has none yet. */
async function viewing<T>(
  caller: Caller,
  name: string,
  views: Incompleteness[],
  work: (rootfs: string) => Promise<T>,
): Promise<T> {
  const { path, lacks } = await caller.call('view.open', { name, holder: process.pid });
  views.push({ lacks });
  try {
    const rootfs = await rootfsOf(path);
    return rootfs === undefined ? await withEmptyFolder(work) : await work(rootfs);
  } finally {
    await caller.call('view.close', { name, holder: process.pid });
  }
}

async function originOf(caller: Caller, name: string): Promise<string> {
  const device = await caller.call('device.get', { name });
  const devices = await caller.call('device.list', {});
  const origin = devices.find(({ id }) => id === device.origin);
  if (origin !== undefined) return origin.name;
  throw new ThinError(
    'not-found',
    device.originName === undefined
      ? `device ${name} has no origin to be compared with; name a second device`
      : `the origin of ${name}, ${device.originName}, is gone; name a device to compare it with`,
    { details: { device: name } },
  );
}

async function collect(before: string, after: string): Promise<Change[]> {
  const found: Change[] = [];
  for await (const change of changes(new ChildProcessExec(), before, after)) found.push(change);
  return found;
}

/** Names are bytes: what is no UTF-8 goes out as it is. */
function line({ kind, rawPath }: Change): Uint8Array {
  return Buffer.concat([Buffer.from(`${kind} `), rawPath, Buffer.from('\n')]);
}
