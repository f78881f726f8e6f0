import assert from 'node:assert/strict';
import { readdir, symlink } from 'node:fs/promises';
import type { HostFinding } from '../../src/host/host-finding.js';
import { CLI_COMMAND } from '../support/cli.js';
import { OWN_MOUNTS } from '../support/mount-namespace.js';
import { requireMounts, tryRun, useScratch, type Finished } from '../support/mounts.js';

interface Report {
  readonly works: boolean;
  readonly findings: readonly HostFinding[];
}

const NOBODY = 65534;
const NO_DEVICES = 'mount -t tmpfs none /dev && mknod /dev/null c 1 3 && exec "$@"';

describe('end to end: doctor --host', function () {
  this.timeout(300_000);
  requireMounts(['setpriv', 'unshare', 'mkfs.xfs', 'getfattr']);
  const scratch = useScratch();

  /** In an environment that `before` makes of this one. */
  async function examine(
    before: readonly string[] = [],
    env: NodeJS.ProcessEnv = {},
  ): Promise<Finished & { readonly report: Report }> {
    const [command = '', ...rest] = [...before, ...CLI_COMMAND];
    const args = ['--root', scratch.current.at('a/pool'), '--json', 'doctor', '--host'];
    const finished = await tryRun(command, [...rest, ...args], { env: { ...process.env, ...env } });
    return { ...finished, report: JSON.parse(finished.stdout) as Report };
  }

  function find({ findings }: Report, subject: string): HostFinding {
    const found = findings.find((finding) => finding.subject === subject);
    assert(found !== undefined, subject);
    return found;
  }

  it('says that thinfuse works here, without a pool, and leaves nothing behind', async () => {
    const { code, report } = await examine();
    assert.equal(code, 0);
    assert(report.works);
    for (const subject of ['Node.js', 'level', '/dev/fuse', 'mounting', 'loop devices', 'losetup', 'xfs'])
      assert.equal(find(report, subject).state, 'ok', subject);
    for (const subject of ['mount', 'mkfs.xfs', 'getfattr', 'tar'])
      assert.match(find(report, subject).version ?? '', /^\d+\.\d/, subject);
    assert.deepEqual(await readdir(scratch.current.root), []);
  });

  it('tells for people what it tells for scripts', async () => {
    const [command = '', ...rest] = CLI_COMMAND;
    const { code, stdout } = await tryRun(command, [...rest, 'doctor', '--host']);
    assert.equal(code, 0);
    assert.match(stdout, /^ {2}ok {6}mount +\d+\.\d+.* \(\/.*mount\)$/m);
    assert.match(stdout, /^thinfuse will work here$/m);
  });

  it('tells who is not root what can be told', async () => {
    // It can read this checkout, wherever that is, and nothing more.
    const may = ['--inh-caps', '+dac_read_search', '--ambient-caps', '+dac_read_search'];
    const user = ['setpriv', '--reuid', String(NOBODY), '--clear-groups', ...may];
    const { code, report } = await examine(user, { TMPDIR: '/tmp' });
    assert.equal(code, 0);
    assert.equal(find(report, 'mounting').state, 'unknown');
    assert.equal(find(report, 'loop devices').state, 'unknown');
    assert.equal(find(report, 'losetup').state, 'ok');
  });

  it('refuses a root that may not mount', async () => {
    const { code, stderr, report } = await examine(['setpriv', '--bounding-set', '-sys_admin']);
    assert.equal(code, 8);
    assert(!report.works);
    assert.match(find(report, 'mounting').message, /CAP_SYS_ADMIN.* --privileged/);
    assert.match(stderr, /thinfuse will not work here/);
  });

  it('names what a container lacks that has no devices and few tools', async () => {
    await symlink(process.execPath, scratch.current.at('node'));
    const inside = ['/usr/bin/env', `PATH=${scratch.current.root}`];
    const before = ['unshare', ...OWN_MOUNTS, 'sh', '-c', NO_DEVICES, 'sh', ...inside];
    const { code, report } = await examine(before);
    assert.equal(code, 8);
    for (const subject of ['/dev/fuse', 'loop devices', 'getfattr', 'tar'])
      assert.equal(find(report, subject).state, 'missing', subject);
    assert.match(find(report, 'getfattr').message, /thinfuse diff; install it: .+ attr$/);
    assert.match(find(report, '/dev/fuse').message, /modprobe fuse/);
  });
});
