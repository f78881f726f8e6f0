import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import {
  copyFile,
  lstat,
  readdir,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import path from 'node:path';
import { Cli } from '../support/cli.js';
import { requireMounts, run, tryRun, useScratch } from '../support/mounts.js';

const GIB = 2 ** 30;
const SECTOR = 512;

describe('a direct pool on what hosts have', function () {
  this.timeout(300_000);
  requireMounts(['mkfs.xfs', 'fallocate', 'blkid', 'wipefs']);
  const scratch = useScratch();

  async function sparse(name: string): Promise<string> {
    const file = scratch.current.at(name);
    await writeFile(file, '');
    await truncate(file, 2 * GIB);
    return file;
  }

  const diskOf = async (file: string): Promise<number> => (await stat(file)).blocks * SECTOR;

  /** Writes, trims and reads through a restart. */
  async function lives(cli: Cli): Promise<void> {
    await cli.run('start');
    await cli.run('image', 'create', 'image');
    await cli.run('container', 'create', 'one', '--image', 'image');
    const target = (await cli.run('mount', 'one')).trim();
    await run('dd', ['if=/dev/urandom', `of=${target}/rootfs/kept`, 'bs=1M', 'count=8', 'conv=fsync']);
    await run('dd', ['if=/dev/urandom', `of=${target}/rootfs/gone`, 'bs=1M', 'count=48', 'conv=fsync']);
    const kept = await run('sha256sum', [`${target}/rootfs/kept`]);
    await rm(`${target}/rootfs/gone`);
    await cli.run('trim', 'one');
    await cli.run('umount', 'one');
    await cli.run('stop');
    await cli.run('check');
    await cli.run('start');
    await cli.run('mount', 'one');
    assert.equal(await run('sha256sum', [`${target}/rootfs/kept`]), kept);
    await cli.run('umount', 'one');
    await cli.run('stop');
  }

  /** To tools that tell a disk's content by what stands at its ends; what its devices hold is theirs. */
  async function showsNoFilesystem(disk: string): Promise<void> {
    const probe = await tryRun('blkid', ['--probe', disk]);
    assert.deepEqual([probe.code, probe.stdout], [2, '']);
    assert.equal((await run('wipefs', [disk])).trim(), '');
    const target = await scratch.current.folder('refused');
    assert.notEqual((await tryRun('mount', ['-o', 'ro', disk, target])).code, 0);
  }

  it('lives on a block device', async () => {
    const loop = await scratch.current.attach(await sparse('disk'));
    const cli = new Cli(scratch.current, 'block');
    await cli.run('init', '--data', loop, '--base-size', '512M');
    await showsNoFilesystem(loop);
    const second = await new Cli(scratch.current, 'second').try('init', '--data', loop);
    assert.notEqual(second.code, 0);
    assert.match(second.stderr, /is the data of the thinfuse pool/);
    assert.equal(existsSync(scratch.current.at('second')), false);
    await cli.run('start');
    const whileServed = await new Cli(scratch.current, 'third').try('init', '--data', loop, '--force');
    assert.match(whileServed.stderr, /in use/);
    await cli.run('stop');
    await lives(cli);
    await showsNoFilesystem(loop);
    await scratch.current.detach(loop);
    const gone = await cli.try('start');
    assert.notEqual(gone.code, 0);
    assert.match(gone.stderr, new RegExp(`${loop}|devicemapper/data`));
  });

  it('keeps the name that a disk was given by, and says how to give it another', async () => {
    const image = await scratch.current.folder('renamed');
    await run('truncate', ['-s', '2G', `${image}/disk`]);
    const [first, name] = [await scratch.current.attach(`${image}/disk`), `${image}/by-id`];
    await symlink(first, name);
    const cli = new Cli(scratch.current, 'renamed-root');
    await cli.run('init', '--data', name, '--base-size', '512M');
    const link = path.join(cli.root, 'devicemapper/data');
    assert.equal(await readlink(link), name);
    const held = await scratch.current.attach(`${image}/disk`);
    await scratch.current.detach(first);
    await rm(name);
    const refused = await cli.try('start');
    assert.equal(refused.code, 3, refused.stderr);
    assert.ok(refused.stderr.includes(`ln -sfn NAME ${link}`), refused.stderr);
    await symlink(held, name);
    await cli.run('start');
    assert.match(await cli.run('info'), new RegExp(`Data file: ${held}$`, 'm'));
    await cli.run('stop');
    await cli.run('check');
  });

  it('keeps the blocks of a preallocated file, and gives those of a sparse one back', async () => {
    const full = scratch.current.at('full.img');
    await run('fallocate', ['--length', '1G', full]);
    const cli = new Cli(scratch.current, 'preallocated');
    await cli.run('init', '--data', full, '--base-size', '512M');
    await lives(cli);
    assert((await diskOf(full)) >= GIB, 'trimmed space stays the pool’s');

    const file = await sparse('sparse.img');
    const other = new Cli(scratch.current, 'sparse');
    await other.run('init', '--data', file, '--base-size', '512M');
    await lives(other);
    const used = await diskOf(file);
    assert(used < 48 * 2 ** 20, `${used} bytes on the disk`);
  });

  it('keeps its metadata on another disk where it is told to, and takes no other data', async () => {
    const metadata = scratch.current.at('fast/metadata');
    const data = scratch.current.at('apart.img');
    const cli = new Cli(scratch.current, 'apart');
    await cli.run(
      'init',
      '--data',
      data,
      '--data-size',
      '1G',
      '--base-size',
      '512M',
      '--metadata-dir',
      metadata,
    );
    assert((await readdir(metadata)).includes('CURRENT'));
    assert((await lstat(path.join(cli.root, 'devicemapper'))).isSymbolicLink());
    await lives(cli);

    const other = scratch.current.at('other.img');
    await new Cli(scratch.current, 'others').run(
      'init',
      '--data',
      other,
      '--data-size',
      '1G',
      '--base-size',
      '512M',
    );
    await rename(data, `${data}.away`);
    await copyFile(other, data);
    const refused = await cli.try('start');
    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, /belongs to the pool/);
    await rename(`${data}.away`, data);
    await cli.run('start');
    await cli.run('stop');
  });

  it('reads back more than its cache of chunks is told to hold', async () => {
    const cli = new Cli(scratch.current, 'cached');
    await cli.run('init', '--base-size', '512M', '--data-size', '2G');
    const refused = await cli.try('start', '--cache-size', 'much');
    assert.equal(refused.code, 2, refused.stderr);
    await cli.run('start', '--cache-size', '64M');
    await cli.run('image', 'create', 'image');
    await cli.run('container', 'create', 'one', '--image', 'image');
    const target = (await cli.run('mount', 'one')).trim();
    await run('dd', ['if=/dev/urandom', `of=${target}/rootfs/file`, 'bs=1M', 'count=200', 'conv=fsync']);
    const sum = await run('sha256sum', [`${target}/rootfs/file`]);
    await run('sh', ['-c', 'echo 3 > /proc/sys/vm/drop_caches']);
    assert.equal(await run('sha256sum', [`${target}/rootfs/file`]), sum);
    await cli.run('umount', 'one');
    await cli.run('stop');
  });
});
