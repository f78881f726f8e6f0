import { ThinError } from '../errors/thin-error.js';
import type { Exec } from '../host/exec.js';
import { ownMaker, passingName } from '../transfer/passing-devices.js';
import type { PoolAccess } from '../transfer/pool-access.js';
import { filesOf } from '../transfer/rootfs.js';

export interface TracedStart {
  /** A device that holds still. */
  readonly origin: string;
  /** For a shell in a container of it. */
  readonly command: string;
  readonly signal: AbortSignal;
  readonly onOutput: (piece: Buffer | string) => void;
}

/**
 * Blocks of chunks that a mount and the command read, in their order: run in a container that is there for
 * that alone, with nothing in any cache. Errors: tool-failed (the command), unsupported (no daemon),
 * invalid-argument (no files); as those of the pool.
 */
export async function traceStart(
  access: PoolAccess,
  exec: Exec,
  { origin, command, signal, onOutput }: TracedStart,
): Promise<readonly number[]> {
  const maker = await ownMaker();
  const name = passingName();
  await access.call('device.create', { name, origin, kind: 'snapshot', maker });
  try {
    const { path } = await access.call('mount', { name, maker });
    const root = await filesOf(path);
    if (root === undefined)
      throw new ThinError('invalid-argument', 'the device has no files in which a command can be run');
    await exec.run('chroot', [root, '/bin/sh', '-c', command], {
      signal,
      onStdout: onOutput,
      onStderrLine: (line) => {
        onOutput(`${line}\n`);
      },
    });
    return (await access.call('device.reads', { name, maker })).blocks;
  } finally {
    await access.call('device.remove', { name, force: true });
  }
}
