import type { Command } from 'commander';
import type { Caller } from '../daemon/api.js';
import { ThinError } from '../errors/thin-error.js';
import { Archive } from '../host/archive.js';
import { changes, type Change } from '../host/changes.js';
import { ChildProcessExec } from '../host/exec.js';
import { withDevices } from './connect.js';
import { contextOf } from './context.js';
import { example } from './example.js';
import { interruptible } from './interrupt.js';
import { note, printJson } from './output.js';
import { withProgress } from './progress.js';
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
        const found = await viewing(caller, against, (before) =>
          viewing(caller, name, (after) => collect(before, after)),
        );
        if (context.json) printJson(found.map(({ kind, path }) => ({ kind, path })));
        else for (const change of found) process.stdout.write(line(change));
      });
    });

  program
    .command('export')
    .summary("write a device's files as a tar")
    .description(
      'Writes what is in the rootfs of a device as a tar, with owners, attributes, links, devices and holes.',
    )
    .argument('<id>')
    .option('-o, --output <file>', 'the file to write; standard output otherwise')
    .addHelpText('after', example('thinfuse export web1 | zstd > web1.tar.zst'))
    .action(async (name: string, options: { output?: string }, command: Command) => {
      const context = contextOf(command);
      const output = options.output === undefined ? { fd: requirePipe() } : { file: options.output };
      const archive = new Archive(new ChildProcessExec());
      await interruptible((signal) =>
        withDevices(context, (caller) =>
          viewing(caller, name, async (rootfs) => {
            const warnings = await withProgress(context, 'packing', (onProgress) =>
              archive.export(rootfs, output, {
                signal,
                ...(onProgress === undefined ? {} : { onProgress }),
              }),
            );
            for (const warning of warnings) note(warning);
          }),
        ),
      );
      if (context.json && options.output !== undefined) printJson({ name, output: options.output });
    });
}

/** The device's files, mounted while `work` reads them; an empty folder where it has none yet. */
async function viewing<T>(caller: Caller, name: string, work: (rootfs: string) => Promise<T>): Promise<T> {
  const { path } = await caller.call('view.open', { name, holder: process.pid });
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

function requirePipe(): number {
  if (!process.stdout.isTTY) return process.stdout.fd;
  throw new ThinError(
    'invalid-argument',
    'a tar is not written to a terminal; redirect the output, or name a file with --output',
  );
}
