import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { DiskBlocks } from '../../src/legacy/disk-blocks.js';
import { LegacyPool } from '../../src/legacy/legacy-pool.js';
import { nameDevices } from '../../src/legacy/named-devices.js';
import { openDevice } from '../../src/legacy/opened-device.js';
import { SourceFile } from '../../src/legacy/source-file.js';
import { Cli } from '../support/cli.js';
import { hasTool, requireMounts, run, useScratch } from '../support/mounts.js';

interface Exported {
  readonly id: number;
  readonly name: string;
  readonly size: number;
  readonly sectors: number;
}

describe('end to end: the way out', function () {
  this.timeout(300_000);
  requireMounts(['mkfs.xfs', 'thin_restore', 'thin_check', 'qemu-img']);
  const scratch = useScratch();
  const at = (name: string): string => scratch.current.at(name);
  const page = randomBytes(3_000_000);
  let cli: Cli;
  let mountPoint: string;

  before('a pool with a device, a snapshot of it, and one that is mounted', async () => {
    cli = new Cli(scratch.current);
    await cli.run('init', '--base-size', '320M', '--data-size', '1G');
    await cli.run('start');
    await cli.call('device.create', { name: 'old', origin: 'base', kind: 'snapshot' });
    mountPoint = (await cli.call('mount', { name: 'old' })).path;
    await writeFile(path.join(mountPoint, 'rootfs/page'), page);
    await writeFile(path.join(mountPoint, 'rootfs/gone'), randomBytes(1_000_000));
    await cli.call('device.create', { name: 'web', origin: 'old', kind: 'snapshot' });
    await cli.call('umount', { name: 'old' });
    mountPoint = (await cli.call('mount', { name: 'web' })).path;
    await rm(path.join(mountPoint, 'rootfs/gone'));
    await writeFile(path.join(mountPoint, 'rootfs/live'), 'written to\n');
  });

  it('writes the pool as dm-thin has it, every device byte for byte', async () => {
    const folder = at('kernel');
    await writeFile(path.join(mountPoint, 'rootfs/more'), 'not flushed\n');
    await cli.run('export', '--format', 'dm-thin', '--output', folder);
    assert.deepEqual((await readdir(folder)).sort(), ['data', 'devices.json', 'metadata']);
    await cli.call('umount', { name: 'web' });
    await run('thin_check', [path.join(folder, 'metadata')]);
    const live = at('live.img');
    await withDevice(folder, 'web', ({ bytes }) => writeFile(live, bytes));
    const loop = await scratch.current.attach(live, { directIo: false });
    const mounted = await scratch.current.mount(loop, 'xfs', ['nouuid']);
    assert.equal(await readFile(path.join(mounted, 'rootfs/more'), 'utf8'), 'not flushed\n');
    assert.deepEqual(await readFile(path.join(mounted, 'rootfs/page')), page);
    await scratch.current.unmount(mounted);
    await scratch.current.detach(loop);
    for (const name of ['base', 'old']) {
      const { path: image } = await cli.call('activate', { name });
      await withDevice(folder, name, async ({ bytes, exported }) => {
        assert.ok(bytes.equals(await readFile(image)), name);
        assert.equal(exported.sectors * 512, exported.size);
      });
    }
  });

  it('keeps what devices share shared, and takes no more space than the pool', async () => {
    const metadata = new SourceFile(path.join(at('kernel'), 'metadata'), 'metadata');
    const { dataSpaceMap } = LegacyPool.open(new DiskBlocks(metadata)).superblock;
    metadata.close();
    const { dataUsed } = await cli.call('pool.info', {});
    // What was written since then has made copies.
    assert.ok(dataSpaceMap.allocated * 65536 <= dataUsed, String(dataSpaceMap.allocated));
    const { blocks } = await stat(path.join(at('kernel'), 'data'));
    assert.ok(blocks * 512 <= dataSpaceMap.allocated * 65536 + 65536);
  });

  it('writes one device as a raw image with its holes, as qcow2 and as a tar', async () => {
    const { path: image } = await cli.call('activate', { name: 'old' });
    await cli.run('export', 'old', '--format', 'raw', '--output', at('old.img'));
    await run('cmp', [at('old.img'), image]);
    assert.ok((await stat(at('old.img'))).blocks * 512 < 40 * 2 ** 20);
    await cli.run('export', 'old', '--format', 'qcow2', '--output', at('old.qcow2'));
    await run('qemu-img', ['compare', '-f', 'raw', '-F', 'qcow2', at('old.img'), at('old.qcow2')]);
    assert.ok((await stat(at('old.qcow2'))).size < 40 * 2 ** 20);
    await cli.run('export', 'old', '--output', at('old.tar'));
    const names = (await run('tar', ['--list', '--file', at('old.tar')]))
      .split('\n')
      .filter((name) => name !== '');
    assert.deepEqual(names.sort(), ['./', './gone', './page']);
  });

  it('leaves nothing in the pool', async () => {
    assert.deepEqual(
      (await cli.call('device.list', {})).map(({ name }) => String(name)),
      ['base', 'old', 'web'],
    );
    assert.equal((await cli.call('pool.check', {})).ok, true);
    await cli.run('stop');
  });

  it('writes the same without a daemon', async () => {
    await cli.run('export', '--format', 'dm-thin', '--output', at('offline'));
    await withDevice(at('kernel'), 'old', async ({ bytes }) =>
      withDevice(at('offline'), 'old', (again) => {
        assert.ok(bytes.equals(again.bytes));
        return Promise.resolve();
      }),
    );
    assert.equal((await cli.json<{ ok: boolean }>('check')).ok, true);
  });

  it('writes the pool as a disk of LVM, which lvm2 reads, every volume byte for byte', async () => {
    const disk = at('disk.lvm');
    await cli.run('export', '--format', 'lvm', '--group', 'back', '--output', disk);
    if (await hasTool('pvck')) {
      await run('pvck', ['--dump', 'metadata', '--file', at('text'), disk]);
      const listed = await run('vgcfgrestore', ['--list', '--file', at('text')]);
      assert.match(listed, /VG name:\s+back/);
    }
    const volumes = await cli.json<readonly { name: string; state: string }[]>('legacy', 'ls', disk);
    assert.deepEqual(
      volumes.map(({ name, state }) => [name, state]),
      ['base', 'old', 'web'].map((name) => [name, 'sound']),
    );
    await cli.run('legacy', 'export', disk, 'web', '--output', at('volume.img'));
    await cli.run('export', 'web', '--format', 'raw', '--output', at('web.img'));
    await run('cmp', ['--bytes', String((await stat(at('web.img'))).size), at('volume.img'), at('web.img')]);
  });

  it('brings back what it wrote for dm-thin, by the names that it had', async () => {
    const folder = at('offline');
    const listed = await cli.json<readonly { name: string; kind: string }[]>('legacy', 'ls', folder);
    assert.deepEqual(
      listed.map(({ name, kind }) => [name, kind]),
      [
        ['base', 'base'],
        ['old', 'thin'],
        ['web', 'thin'],
      ],
    );
    await cli.run('legacy', 'import', folder, '--all', '--prefix', 'back-');
    await cli.run('export', 'back-web', '--format', 'raw', '--output', at('back.img'));
    await run('cmp', [at('back.img'), at('web.img')]);
    const devices = await cli.json<readonly { name: string; origin: string | null }[]>('ls');
    assert.equal(devices.find(({ name }) => name === 'back-web')?.origin, 'back-old');
  });

  async function withDevice(
    folder: string,
    name: string,
    work: (device: { readonly bytes: Buffer; readonly exported: Exported }) => Promise<void>,
  ): Promise<void> {
    const list = JSON.parse(await readFile(path.join(folder, 'devices.json'), 'utf8')) as readonly Exported[];
    const exported = list.find((one) => one.name === name)!;
    const files = ['metadata', 'data'].map((file) => new SourceFile(path.join(folder, file), file));
    try {
      const pool = LegacyPool.open(new DiskBlocks(files[0]!));
      const named = nameDevices(pool.devices, []).find(({ device }) => device.id === exported.id)!;
      const { image } = await openDevice(pool, files[1]!, named, { size: exported.size, skipDamaged: false });
      const bytes = Buffer.alloc(exported.size);
      await image.read(0, bytes);
      await work({ bytes, exported });
    } finally {
      for (const file of files) file.close();
    }
  }
});
