import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { TransportKind } from '../../src/fuse/transport.js';
import type { FilesystemType } from '../../src/pool/info.js';
import { eventually } from '../support/eventually.js';
import { Cli } from '../support/cli.js';
import { loopsUnder, mounts, requireMounts, run, useScratch } from '../support/mounts.js';

interface Usage {
  readonly size: number;
  readonly mapped: number;
  readonly mountPoint: string | null;
}

const TOOLS: Readonly<Record<FilesystemType, readonly string[]>> = {
  xfs: ['mkfs.xfs', 'xfs_growfs', 'fsfreeze'],
  ext4: ['mkfs.ext4', 'resize2fs', 'fsfreeze'],
};

/**
 * One life of a pool, from init to stop, with the filesystem given; `data`: a `direct` pool, on a file of its
 * own.
 */
export function lifecycle(
  filesystem: FilesystemType,
  { transport = 'kernel', data = false }: { transport?: TransportKind; data?: boolean } = {},
): void {
  describe(`end to end on ${filesystem}, ${transport}, ${data ? 'direct' : 'leveldb'}`, function () {
    this.timeout(300_000);
    requireMounts(TOOLS[filesystem]);
    const scratch = useScratch();
    let cli: Cli;

    const device = async (name: string): Promise<Usage> => {
      const all = await cli.json<(Usage & { name: string })[]>('ls');
      const found = all.find((item) => item.name === name);
      assert(found !== undefined, `${name} is not listed`);
      return found;
    };
    const sizeOf = async (mountPoint: string): Promise<number> =>
      Number((await run('df', ['--block-size=1', '--output=size', mountPoint])).split('\n')[1]);

    before('make a pool and start it', async () => {
      cli = new Cli(scratch.current);
      const where = data ? ['--data', scratch.current.at('data.img')] : [];
      await cli.run('init', '--fs', filesystem, '--base-size', '512M', '--data-size', '4G', ...where);
      await cli.run('start', '--transport', transport);
    });

    it('makes an image of a folder, with nobody needing to mount anything', async () => {
      const source = scratch.current.at('source');
      await mkdir(path.join(source, 'etc'), { recursive: true });
      await writeFile(path.join(source, 'etc/motd'), 'welcome\n');
      await symlink('motd', path.join(source, 'etc/issue'));
      await cli.run('image', 'create', 'debian', '--from', source);
      assert.equal((await device('debian')).mountPoint, null);
      assert.deepEqual(await readdir(path.join(cli.root, 'mnt')), []);
    });

    it('gives containers the files of their image, to change each for itself', async () => {
      await cli.run('container', 'create', 'web1', '--image', 'debian');
      await cli.run('container', 'create', 'web2', '--image', 'debian');
      const [web1, web2] = await Promise.all([cli.run('mount', 'web1'), cli.run('mount', 'web2')]);
      const motd = (mountPoint: string): string => path.join(mountPoint.trim(), 'rootfs/etc/motd');
      assert.equal(web1.trim(), path.join(cli.root, 'mnt/web1'));
      await writeFile(motd(web1), 'web1\n');
      assert.equal(await readFile(motd(web2), 'utf8'), 'welcome\n');
      assert.equal(await cli.run('diff', 'web1'), 'C /etc\nC /etc/motd\n');
      assert.equal(await cli.run('diff', 'web2'), '');
    });

    it('has rootfs and id inside, as Docker had them', async () => {
      const mountPoint = path.join(cli.root, 'mnt/web1');
      assert.equal(await readFile(path.join(mountPoint, 'id'), 'utf8'), 'debian');
      assert.equal((await stat(path.join(mountPoint, 'id'))).mode & 0o777, 0o600);
      assert.equal((await stat(path.join(mountPoint, 'rootfs'))).mode & 0o777, 0o755);
    });

    it('mounts an image read-only on a folder of the user', async () => {
      const target = scratch.current.at('here');
      assert.equal((await cli.run('mount', '--ro', 'debian', target)).trim(), target);
      await assert.rejects(writeFile(path.join(target, 'rootfs/new'), ''), { code: 'EROFS' });
      assert.equal(await readFile(path.join(target, 'rootfs/etc/issue'), 'utf8'), 'welcome\n');
      await cli.run('umount', 'debian');
      assert.equal(existsSync(target), false);
    });

    it('grows the filesystem at the first mount, and while mounted', async () => {
      await cli.run('container', 'create', 'big', '--image', 'debian', '--size', '1G');
      const mountPoint = (await cli.run('mount', 'big')).trim();
      const first = await sizeOf(mountPoint);
      assert(first > 0.8 * 2 ** 30, `${first} bytes`);
      await cli.run('grow', 'big', '2G');
      const second = await sizeOf(mountPoint);
      assert(second > 1.8 * 2 ** 30, `${second} bytes`);
      await cli.run('umount', 'big');
    });

    it('gives the space of deleted files back when it is told to trim', async () => {
      const file = path.join(cli.root, 'mnt/web1/rootfs/large');
      const before = (await device('web1')).mapped;
      await run('dd', ['if=/dev/urandom', `of=${file}`, 'bs=1M', 'count=24', 'conv=fsync']);
      assert((await device('web1')).mapped >= before + 24 * 2 ** 20);
      await rm(file);
      if (transport === 'fuse-native') {
        const { code, stderr } = await cli.try('trim', 'web1');
        assert.equal(code, 8, stderr);
        assert.match(stderr, /--transport kernel/);
      } else {
        const [trimmed] = await cli.json<{ name: string; freed: number }[]>('trim', 'web1');
        assert.equal(trimmed?.name, 'web1');
        assert(trimmed.freed >= 23 * 2 ** 20, `${trimmed.freed} bytes given back`);
        assert.match(await cli.run('trim', '--all'), /^web1: .* given back/m);
      }
      assert.equal((await cli.try('trim', 'debian')).code, 3);
      assert.equal((await cli.try('trim')).code, 2);
      assert.equal((await cli.try('trim', '--all', 'web1')).code, 2);
    });

    it('says who is in the way, and goes on', async () => {
      const mountPoint = path.join(cli.root, 'mnt/web2');
      const holder = scratch.current.start('sleep', ['600'], { cwd: mountPoint });
      for (const args of [['umount', 'web2'], ['stop'], ['rename', 'web2', 'web3']]) {
        const { code, stderr } = await cli.try(...args);
        assert.equal(code, 5, stderr);
        assert.match(stderr, /web2/, args.join(' '));
      }
      const gone = new Promise((resolve) => holder.once('exit', resolve));
      holder.kill();
      await gone;
      await cli.run('mount', 'web1');
      await cli.run('rm', '--force', 'web2');
      const { code } = await cli.try('umount', 'web2');
      assert.equal(code, 3);
    });

    it('writes the files of a device as a tar that makes an equal image', async () => {
      const tar = scratch.current.at('web1.tar');
      await cli.run('export', 'web1', '--output', tar);
      await cli.run('image', 'create', 'copy', '--from', tar);
      assert.equal(await cli.run('diff', 'copy', 'web1'), '');
    });

    it('leaves nothing of an image whose source is no good', async () => {
      const bad = scratch.current.at('bad.tar');
      await writeFile(bad, Buffer.alloc(4096, 7));
      const before = await cli.run('ls', '--json');
      const { code } = await cli.try('image', 'create', 'bad', '--from', bad);
      assert.notEqual(code, 0);
      assert.equal(
        (JSON.parse(await cli.run('ls', '--json')) as unknown[]).length,
        (JSON.parse(before) as unknown[]).length,
      );
    });

    it('cleans up behind a daemon that was killed', async () => {
      await cli.run('mount', 'web1');
      await writeFile(path.join(cli.root, 'mnt/web1/rootfs/flushed'), 'here');
      await run('sync', ['--file-system', path.join(cli.root, 'mnt/web1')]);
      await cli.kill();
      assert.equal((await cli.try('status')).code, 11);
      await rm(path.join(cli.root, 'metadata'), { recursive: true });
      await cli.run('start');
      assert.deepEqual(await loopsUnder(cli.root), []);
      assert.deepEqual(
        (await mounts()).map(({ target }) => target).filter((target) => target.startsWith(cli.root)),
        [path.join(cli.root, 'dev')],
      );
      const mountPoint = (await cli.run('mount', 'web1')).trim();
      assert.equal(await readFile(path.join(mountPoint, 'rootfs/flushed'), 'utf8'), 'here');
    });

    it('stops when its FUSE mount is taken away', async () => {
      await cli.run('umount', 'web1');
      const pid = await cli.daemonPid();
      await run('umount', [path.join(cli.root, 'dev')]);
      await eventually('the daemon has ended', () => !existsSync(`/proc/${pid}/cwd`));
      assert.equal((await cli.try('status')).code, 11);
      await cli.run('start');
    });

    it('leaves nothing behind when it stops', async () => {
      await cli.run('mount', 'web1');
      await cli.run('activate', 'big');
      await cli.run('stop');
      assert.deepEqual(await loopsUnder(cli.root), []);
      assert.deepEqual(
        (await mounts()).filter(({ target }) => target.startsWith(cli.root)),
        [],
      );
      assert.deepEqual((await readdir(cli.root)).sort(), [
        'dev',
        'devicemapper',
        'history.json',
        'metadata',
        'mnt',
        'spare',
        'thinfuse.log',
      ]);
      assert.deepEqual(await readdir(path.join(cli.root, 'mnt')), []);
      assert.equal((await cli.json<{ ok: boolean }>('check')).ok, true);
    });

    it('does without a daemon what needs one for a moment only', async () => {
      assert.match(await cli.run('diff', 'web1'), /^C \/etc\/motd$/m);
      assert.deepEqual((await readdir(cli.root)).sort(), [
        'dev',
        'devicemapper',
        'history.json',
        'metadata',
        'mnt',
        'spare',
        'thinfuse.log',
      ]);
    });
  });
}
