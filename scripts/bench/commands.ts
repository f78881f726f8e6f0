import { randomBytes } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { run } from './host.js';

/** A command line of the target's own, and where it may put files beside it. */
export interface CommandLine {
  run(...args: readonly string[]): Promise<string>;
  /** On the host's own filesystem. */
  readonly folder: string;
}

const REPEATS = 15;
export const CLONES = 200;
export const COPIES = 20;
const COPIED_BYTES = 60 * 2 ** 20;
const ORIGIN = 'commands';

/**
 * Whole processes, each beside `node -e 0`, so that both meet the same machine; and copies of a mounted
 * filesystem with one file, beside as many of `cp -a`.
 */
export async function commandTimes(
  cli: CommandLine,
  record: (job: string, value: number) => void,
): Promise<void> {
  const timed = async (job: string, action: () => Promise<unknown>): Promise<void> => {
    const start = performance.now();
    await action();
    record(job, performance.now() - start);
  };
  await cli.run('snapshot', ORIGIN, 'base');
  for (let round = 0; round < REPEATS; round++) {
    await timed('cli-node', () => run(process.execPath, ['-e', '0']));
    await timed('cli-ls', () => cli.run('ls'));
    await timed('cli-status', () => cli.run('status'));
    // Of one that is mounted already it says where: the command's own time, without the tools of the host.
    await cli.run('mount', ORIGIN);
    await timed('cli-mount', () => cli.run('mount', ORIGIN));
  }
  const mounted = (await cli.run('mount', ORIGIN)).trim();
  await writeFile(path.join(mounted, 'rootfs/file'), randomBytes(COPIED_BYTES));
  await run('sync', ['--file-system', mounted]);

  const many = names('many', CLONES);
  await timed('clones', () => cli.run('clone', ORIGIN, ...many));
  await cli.run('rm', ...many);

  const few = names('few', COPIES);
  await timed('clones-mounted', () => cli.run('clone', '--mount', ORIGIN, ...few));
  await cli.run('umount', ...few);
  await cli.run('rm', ...few);
  const copies = path.join(cli.folder, 'copies');
  await mkdir(copies);
  await timed('copies', async () => {
    for (const name of few) await run('cp', ['-a', path.join(mounted, 'rootfs'), path.join(copies, name)]);
  });
  await rm(copies, { recursive: true });
  await cli.run('umount', ORIGIN);
  await cli.run('rm', ORIGIN);
}

function names(stem: string, count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `${stem}-${index}`);
}
