import type { Command } from 'commander';
import { formatBinarySize } from '../config/sizes.js';
import { withAccess } from './connect.js';
import { ChildProcessExec } from '../host/exec.js';
import { contextOf, type Context } from './context.js';
import { example } from './example.js';
import { requireComplete } from './incomplete.js';
import { interruptible } from './interrupt.js';
import { note, printResult } from './output.js';
import { withProgress } from './progress.js';
import { KEY_OPTION, URL_HELP, type KeyFlags } from './remote-flags.js';

interface PushFlags extends KeyFlags {
  /** False: --no-anchor. */
  readonly anchor: boolean;
  readonly trace?: string;
}

export function registerPushCommand(program: Command): void {
  program
    .command('push')
    .summary('push a device to an object store or a registry')
    .description(
      'Writes the blocks of a device at this moment to an S3-compatible store or an OCI registry, and moves a tag to them (default: latest). The device may be in use. Blocks that the store has are not sent. The pool keeps a snapshot of the pushed state, so that the next push reads and sends only the differences.',
    )
    .argument('<id>', 'the device')
    .argument('<url>', URL_HELP)
    .option(...KEY_OPTION)
    .option(
      '--trace <command>',
      'run the command in a container of the device, and store the blocks that it reads apart, so that a pull fetches them ahead; default for an image: the blocks that were read since the daemon began',
    )
    .option('--no-anchor', 'keep no snapshot of the pushed state; the next push reads the whole device')
    .addHelpText(
      'after',
      example(
        'thinfuse push debian s3://images/debian:12',
        "thinfuse push debian s3://images/debian:12 --trace 'bash -c true'",
        'thinfuse push db oci://registry.example.org/backup/db:monday --key-file /etc/thinfuse.key',
      ),
    )
    .action(async (name: string, url: string, flags: PushFlags, command: Command) => {
      await push(contextOf(command), name, url, flags);
    });
}

async function push(
  context: Context,
  name: string,
  url: string,
  { anchor, keyFile, trace }: PushFlags,
): Promise<void> {
  const { DevicePush } = await import('../remote/device-push.js');
  const { withRemote } = await import('../remote/open-remote.js');
  const { describeName } = await import('../remote/remote-url.js');
  await interruptible((signal) =>
    withRemote(url, keyFile, async (remote) => {
      const { place, tag, store, seal } = remote;
      await withAccess(context, async (access) => {
        const { image, ...pushed } = await withProgress(context, 'pushing', (onProgress) =>
          new DevicePush(access, store, seal, remote.codecs()).run({
            ...{ name, tag, anchor, signal, onProgress },
            trace: trace === undefined ? undefined : { command: trace, exec: new ChildProcessExec() },
            onNote: note,
          }),
        );
        const named = describeName(place, { kind: 'tag', tag });
        printResult(
          context,
          { name, url: named, digest: `sha256:${image}`, ...pushed },
          `${named}@sha256:${image}: ${formatBinarySize(pushed.sent)} sent, ${formatBinarySize(pushed.read)} read`,
        );
        requireComplete(name, pushed);
      });
    }),
  );
}
