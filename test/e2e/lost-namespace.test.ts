import assert from 'node:assert/strict';
import { readdir, readFile, readlink } from 'node:fs/promises';
import path from 'node:path';
import { parseMountTable } from '../../src/format/mount-info.js';
import { abortConnection } from '../../src/fuse/mount-point.js';
import { Cli, CLI_COMMAND } from '../support/cli.js';
import { eventually } from '../support/eventually.js';
import { OWN_MOUNTS } from '../support/mount-namespace.js';
import { requireMounts, run, useScratch } from '../support/mounts.js';

describe('a mount namespace that all processes of a pool leave at one moment', function () {
  this.timeout(300_000);
  requireMounts(['mkfs.xfs', 'mkfs.ext4', 'unshare', 'nsenter']);
  const scratch = useScratch();
  let root = 0;

  for (const [pool, ...how] of [['leveldb'], ['direct', '--supervised']] as const)
    it(`ends with them: ${[pool, ...how].join(' ')}`, async () => {
      const cli = new Cli(scratch.current, `root-${root++}`);
      const data = pool === 'direct' ? scratch.current.at(`data-${root}`) : pool;
      await cli.run('init', '--data', data, '--data-size', '2G', '--base-size', '512M');
      await cli.run('snapshot', 'work', 'base');
      scratch.current.start(
        'unshare',
        [...OWN_MOUNTS, ...CLI_COMMAND, '--root', cli.root, 'start', '--foreground', ...how],
        { stdio: ['ignore', 'ignore', 'inherit'] },
      );
      await eventually('the daemon serves', async () => (await cli.try('status')).code === 0);
      const { pid } = await cli.call('status', {});
      await cli.run('mount', 'work');
      const target = path.join(cli.root, 'mnt/work');
      await run('nsenter', ['--mount', '--target', String(pid), 'sh', '-c', WRITE, target]);
      const device = await connectionOf(pid, cli.root);

      const ours = await processesBeside(pid);
      assert(ours.length >= 2, 'the daemon, and the process that runs its tools');
      try {
        for (const each of ours.filter((other) => other !== pid)) process.kill(each, 'SIGKILL');
        process.kill(pid, 'SIGKILL');
        await eventually('the last thread of them has ended', () => areGone(ours));
      } finally {
        // A daemon that hangs has each sync of the machine hang.
        await abortConnection(device);
      }

      await cli.run('start');
      await cli.run('mount', 'work');
      assert.equal(await readFile(path.join(target, 'synced'), 'latin1'), 'synced\n');
      await cli.run('stop');
      assert.equal((await cli.json<{ ok: boolean }>('check')).ok, true);
    });
});

/** The last of it is for the unmount to write. */
const WRITE =
  'echo synced >"$0/synced" && sync -f "$0/synced" && dd if=/dev/urandom of="$0/later" bs=1M count=20 status=none';

/** MAJ:MIN of the daemon's FUSE mount. */
async function connectionOf(pid: number, root: string): Promise<string> {
  const found = parseMountTable(await readFile(`/proc/${pid}/mountinfo`, 'utf8')).find(
    ({ target }) => target === path.join(root, 'dev'),
  );
  assert(found !== undefined);
  return found.device;
}

/** Of the same mount namespace. */
async function processesBeside(pid: number): Promise<number[]> {
  const namespaceOf = (of: string): Promise<string> => readlink(`/proc/${of}/ns/mnt`).catch(() => '');
  const own = await namespaceOf(String(pid));
  const found: number[] = [];
  for (const entry of await readdir('/proc'))
    if (/^\d+$/.test(entry) && (await namespaceOf(entry)) === own) found.push(Number(entry));
  return found;
}

/** The first thread of a process may be a zombie while another one hangs in the kernel. */
async function areGone(pids: readonly number[]): Promise<boolean> {
  return (await Promise.all(pids.map(livingThreads))).flat().length === 0;
}

async function livingThreads(pid: number): Promise<string[]> {
  const threads = await readdir(`/proc/${pid}/task`).catch(() => []);
  const stats = await Promise.all(
    threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/stat`, 'latin1').catch(() => '')),
  );
  return stats.filter((stat) => stat !== '' && !/\) [ZX] /.test(stat));
}
