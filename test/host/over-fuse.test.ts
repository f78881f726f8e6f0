import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, statfs, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { ChildProcessExec } from '../../src/host/exec.js';
import { FilesystemTools } from '../../src/host/filesystem-tools.js';
import type { Filesystem } from '../../src/host/filesystems.js';
import { LoopDevices } from '../../src/host/loop-devices.js';
import { MountTable } from '../../src/host/mount-table.js';
import { Mounter, type MountedImage } from '../../src/host/mounter.js';
import { StaleCleaner } from '../../src/host/stale.js';
import { requireMounts, run, useScratch } from '../support/mounts.js';

const MIB = 1024 * 1024;
const PREFIX = 'docker-1:2-345-';
const FILESYSTEMS = ['xfs', 'ext4'] as const;

describe('host tools on images that a FUSE server gives', function () {
  this.timeout(300_000);
  requireMounts(['mkfs.xfs', 'mkfs.ext4', 'fsfreeze']);
  const scratch = useScratch();
  const exec = new ChildProcessExec();
  const loops = new LoopDevices(exec);
  const filesystems = new FilesystemTools(exec);
  const mounter = new Mounter(exec, loops, filesystems);
  const cleaner = new StaleCleaner(exec, loops);
  let root: string;
  let devices: string;
  let server: ChildProcess;

  async function heard(word: string): Promise<void> {
    const [piece] = (await once(server.stdout ?? server, 'data')) as [Buffer];
    assert.equal(piece.toString().trim(), word);
  }

  async function kill(): Promise<void> {
    if (server.exitCode !== null || server.signalCode !== null) return;
    const exited = once(server, 'exit');
    server.kill('SIGKILL');
    await exited;
  }

  beforeEach(async () => {
    root = await scratch.current.folder('root');
    devices = path.join(root, 'dev');
    await mkdir(devices);
    const script = path.join(import.meta.dirname, 'fuse-server.ts');
    const images = FILESYSTEMS.map((name) => `${PREFIX}${name}=${320 * MIB}`);
    server = scratch.current.start(process.execPath, ['--import', 'tsx', script, devices, ...images], {
      stdio: ['pipe', 'pipe', 'inherit'],
      cwd: process.cwd(),
    });
    await heard('serving');
  });

  afterEach(kill);

  async function mount(filesystem: Filesystem): Promise<MountedImage> {
    const image = path.join(devices, `${PREFIX}${filesystem}`);
    await mounter.format(image, filesystem);
    const target = path.join(root, 'mnt', filesystem);
    await mkdir(target, { recursive: true });
    return mounter.mount({ image, target, filesystem, readOnly: false, xfsNospaceMaxRetries: 0 });
  }

  async function clean(): Promise<void> {
    const left = (await loops.list()).filter(
      ({ backingFile }) => backingFile.startsWith(devices) || backingFile.startsWith(`/${PREFIX}`),
    );
    assert.deepEqual(left, []);
    assert.deepEqual((await MountTable.read()).below(root), []);
  }

  it('works with direct I/O, grows, and leaves nothing behind', async () => {
    for (const filesystem of FILESYSTEMS) {
      const mounted = await mount(filesystem);
      assert.deepEqual(mounted.warnings, []);
      const before = await statfs(mounted.target);
      const told = heard('grown');
      server.stdin?.write(`${PREFIX}${filesystem}=${640 * MIB}\n`);
      await told;
      await mounter.grow(mounted, filesystem, 640 * MIB);
      assert((await statfs(mounted.target)).blocks > before.blocks * 1.8);
      await mounter.unmount(mounted);
    }
    const exited = once(server, 'exit');
    server.stdin?.end();
    await exited;
    await clean();
  });

  it('clears everything after the server was killed: dirty, frozen and idle filesystems, and the FUSE mount', async () => {
    const [xfs, ext4] = [await mount('xfs'), await mount('ext4')];
    for (const { target } of [xfs, ext4])
      await writeFile(path.join(target, 'dirty'), Buffer.alloc(4 * MIB, 1));
    await filesystems.freeze(ext4.target);
    await kill();
    const report = await cleaner.clear({ devices, imagePrefix: PREFIX });
    assert.deepEqual(report.left, []);
    await clean();
  });

  it('knows loop devices whose FUSE mount somebody took away', async () => {
    await mount('xfs');
    await run('umount', ['-l', devices]);
    await kill();
    const report = await cleaner.clear({ devices, imagePrefix: PREFIX });
    assert.deepEqual(report.left, []);
    await clean();
  });

  it('ends a server that hangs', async () => {
    const { target } = await mount('xfs');
    await writeFile(path.join(target, 'dirty'), Buffer.alloc(MIB, 1));
    server.kill('SIGSTOP');
    const report = await cleaner.clear({ devices, imagePrefix: PREFIX });
    assert.deepEqual(report.left, []);
    await clean();
  });
});
