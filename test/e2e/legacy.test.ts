import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, open, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { eventually } from '../support/eventually.js';
import { Cli } from '../support/cli.js';
import { damageBlock, nodesOf } from '../support/legacy-dump.js';
import { loopsUnder, mounts, requireMounts, run, useScratch } from '../support/mounts.js';
import { makeOldPool, writeDockerFiles, type OldDevice, type OldLayer } from '../support/old-pool.js';

const SIZE = 320 * 2 ** 20;
const hex = (digit: string): string => digit.repeat(64);

interface Listed {
  readonly id: number;
  readonly name: string;
  readonly kind: string;
  readonly size: number;
  readonly mapped: number;
  readonly filesystem: string;
}

interface Usage {
  readonly name: string;
  readonly kind: string;
  readonly mapped: number;
  readonly exclusive: number;
}

/**
 * A Docker with devicemapper as it would have been left: a base device, two layers, a container, and one that
 * Docker forgot.
 */
describe('end to end: an old pool', function () {
  this.timeout(600_000);
  requireMounts(['mkfs.xfs', 'thin_restore', 'thin_check', 'fallocate']);
  const scratch = useScratch();
  let cli: Cli;
  let docker: string;
  let graph: string;
  let untouched: readonly (readonly [string, number, number])[];
  const image = (name: string): string => scratch.current.at(`${name}.img`);

  /** A copy of one image with changes to the filesystem on it. */
  async function derive(
    from: string,
    to: string,
    change: (folder: string) => Promise<unknown>,
  ): Promise<void> {
    await run('cp', ['--sparse=always', image(from), image(to)]);
    const loop = await scratch.current.attach(image(to), { directIo: false });
    const folder = await scratch.current.mount(loop, 'xfs', ['nouuid']);
    await change(folder);
    await scratch.current.unmount(folder);
    await scratch.current.detach(loop);
  }

  before('make filesystems, cut them into a pool, and write what Docker kept beside it', async () => {
    await writeFile(image('base'), '');
    await run('truncate', ['--size', String(SIZE), image('base')]);
    await run('mkfs.xfs', ['-q', image('base')]);
    await derive('base', 'debian', async (folder) => {
      await mkdir(path.join(folder, 'rootfs/etc'), { recursive: true });
      await writeFile(path.join(folder, 'id'), 'base');
      await writeFile(path.join(folder, 'rootfs/etc/os'), 'debian\n');
      await writeFile(path.join(folder, 'rootfs/lib'), randomBytes(5_000_000));
    });
    await derive('debian', 'nginx', (folder) =>
      writeFile(path.join(folder, 'rootfs/nginx'), randomBytes(1_000_000)),
    );
    await derive('nginx', 'init', (folder) =>
      writeFile(path.join(folder, 'rootfs/etc/hosts'), 'localhost\n'),
    );
    await derive('init', 'web', async (folder) => {
      await writeFile(path.join(folder, 'rootfs/page'), 'hello\n');
      await run('truncate', ['--size', '0', path.join(folder, 'rootfs/nginx')]);
    });
    // More blocks than a leaf of its mappings holds.
    await derive('debian', 'lost', (folder) =>
      writeFile(path.join(folder, 'rootfs/forgotten'), randomBytes(20_000_000)),
    );
    docker = scratch.current.at('docker');
    graph = path.join(docker, 'devicemapper');
    const device = (id: number, name: string, created: number, origin?: number): OldDevice => ({
      id,
      image: image(name),
      creationTime: created,
      snapTime: 5,
      transaction: id,
      ...(origin === undefined ? {} : { origin }),
    });
    const pool = await makeOldPool(path.join(graph, 'devicemapper'), [
      device(1, 'base', 0),
      device(2, 'debian', 1, 1),
      device(3, 'nginx', 2, 2),
      device(4, 'init', 3, 3),
      device(5, 'web', 4, 4),
      device(6, 'lost', 5, 2),
    ]);
    await run('thin_check', [pool.metadata]);
    const debian: OldLayer = {
      cacheId: hex('a'),
      deviceId: 2,
      diffId: `sha256:${hex('1')}`,
      tags: ['debian:12'],
    };
    const nginx: OldLayer = {
      cacheId: hex('b'),
      deviceId: 3,
      diffId: `sha256:${hex('2')}`,
      tags: ['nginx:1'],
      parent: debian,
    };
    await writeDockerFiles(
      docker,
      SIZE,
      [debian, nginx],
      [{ id: hex('c'), name: 'web1', mountId: hex('d'), deviceId: 5, initDeviceId: 4, image: nginx }],
    );
    untouched = await traces(docker);
    cli = new Cli(scratch.current);
  });

  it('lists its devices by the names that people know', async () => {
    const devices = await cli.json<Listed[]>('legacy', 'ls', graph);
    assert.deepEqual(
      devices.map(({ id, name, kind, size, filesystem }) => [id, name, kind, size, filesystem]),
      [
        [1, 'base', 'base', SIZE, 'xfs'],
        [2, 'debian:12', 'layer', SIZE, 'xfs'],
        [3, 'nginx:1', 'layer', SIZE, 'xfs'],
        [4, 'dddddddddddd-init', 'init', SIZE, 'xfs'],
        [5, 'web1', 'container', SIZE, 'xfs'],
        [6, 'thin-6', 'thin', SIZE, 'xfs'],
      ],
    );
    const info = await cli.json<{ damage: unknown[]; dataUsed: number }>('legacy', 'info', docker);
    assert.deepEqual(info.damage, []);
  });

  it('exports a device byte for byte, with its holes, and its files as a tar', async () => {
    const raw = scratch.current.at('out.img');
    await cli.run('legacy', 'export', graph, 'web1', '--format', 'raw', '--output', raw);
    await run('cmp', [raw, image('web')]);
    assert.ok((await stat(raw)).blocks * 512 < 60 * 2 ** 20);
    const lost = scratch.current.at('lost-out.img');
    const inner = path.join(graph, 'devicemapper');
    const files = ['--metadata', path.join(inner, 'metadata'), '--data', path.join(inner, 'data')];
    await cli.run('legacy', 'export', ...files, '6', '--output', lost);
    await run('cmp', [lost, image('lost')]);
    const tar = scratch.current.at('out.tar');
    await cli.run('legacy', 'export', graph, hex('c').slice(0, 12), '--format', 'tar', '--output', tar);
    const names = (await run('tar', ['--list', '--file', tar])).split('\n').filter((name) => name !== '');
    assert.deepEqual(names.sort(), ['./', './etc/', './etc/hosts', './etc/os', './lib', './nginx', './page']);
  });

  it('mounts a device, and umount(8) ends everything', async () => {
    const target = scratch.current.at('here');
    const before = await readdir(tmpdir());
    assert.equal((await cli.run('legacy', 'mount', graph, 'web1', target)).trim(), target);
    assert.equal(await readFile(path.join(target, 'rootfs/page'), 'utf8'), 'hello\n');
    await assert.rejects(writeFile(path.join(target, 'new'), ''), { code: 'EROFS' });
    await run('umount', [target]);
    await gone(before);
    assert.equal(existsSync(target), false);
  });

  it('shows a device as an image file, through either transport', async () => {
    for (const transport of ['kernel', 'fuse-native']) {
      const target = await scratch.current.folder('image');
      const before = await readdir(tmpdir());
      const { path: file, pid } = await cli.json<{ path: string; pid: number }>(
        ...['legacy', 'mount', graph, 'debian:12', target, '--image', '--transport', transport],
      );
      await run('cmp', [file, image('debian')]);
      await assert.rejects(open(file, 'r+'));
      await run('umount', [target]);
      await gone(before);
      await eventually('the process that served it has ended', () => !isRunning(pid));
    }
  });

  it('unmounts in the foreground on a signal', async () => {
    const target = scratch.current.at('there');
    const before = await readdir(tmpdir());
    const mounted = cli.try('legacy', 'mount', graph, 'nginx:1', target, '--foreground', '--json');
    await eventually('the image is mounted', () => existsSync(path.join(target, 'rootfs')));
    assert.equal(await readFile(path.join(target, 'rootfs/etc/os'), 'utf8'), 'debian\n');
    const serving = (await readdir(tmpdir())).find(
      (name) => name.startsWith('thinfuse-legacy-') && !before.includes(name),
    );
    process.kill(Number(serving?.split('-')[2]), 'SIGTERM');
    const { code, stdout, stderr } = await mounted;
    assert.equal(code, 0, stderr);
    assert.equal((JSON.parse(stdout) as { path: string }).path, target);
    await gone(before);
    assert.equal(existsSync(target), false);
  });

  for (const [blockSize, running] of [
    ['64K', false],
    ['256K', true],
  ] as const)
    it(`imports all of it into a pool with blocks of ${blockSize}, ${running ? 'through its daemon' : 'which nobody serves'}`, async () => {
      const own = new Cli(scratch.current, `root-${blockSize}`);
      await own.run(
        'init',
        '--block-size',
        blockSize,
        '--base-size',
        '320M',
        '--data-size',
        '2G',
        '--opt',
        'dm.min_free_space=0%',
      );
      if (running) await own.run('start');
      const imported = await own.json<{ name: string; origin: string | null }[]>(
        'legacy',
        'import',
        graph,
        '--all',
      );
      assert.deepEqual(
        imported.map(({ name, origin }) => [name, origin]),
        [
          ['docker-base', null],
          ['debian:12', 'docker-base'],
          ['nginx:1', 'debian:12'],
          ['dddddddddddd-init', 'nginx:1'],
          ['web1', 'dddddddddddd-init'],
          ['thin-6', 'debian:12'],
        ],
      );
      if (!running) await own.run('start');
      const sources = [
        ['web1', 'web'],
        ['thin-6', 'lost'],
        ['debian:12', 'debian'],
        ['nginx:1', 'nginx'],
        ['docker-base', 'base'],
      ] as const;
      for (const [name, source] of running ? sources.slice(0, 2) : sources) {
        const { path: file } = await own.call('activate', { name });
        await run('cmp', [file, image(source)]);
      }
      const { path: mountPoint } = await own.call('mount', { name: 'web1' });
      assert.equal(await readFile(path.join(mountPoint, 'rootfs/page'), 'utf8'), 'hello\n');
      await writeFile(path.join(mountPoint, 'rootfs/page'), 'changed\n');
      await own.call('umount', { name: 'web1' });
      await own.call('device.remove', { name: 'web1' });
      if (blockSize === '64K') await sharesAsBefore(own);
      assert.equal((await own.call('pool.check', {})).ok, true);
      await own.call('stop', {});
    });

  it('imports one device under a name, and says what is in the way', async () => {
    const own = new Cli(scratch.current, 'root-one');
    await own.run('init', '--base-size', '320M', '--data-size', '1G');
    await own.run('legacy', 'import', graph, 'web1', '--name', 'shop');
    const devices = await own.json<Usage[]>('ls');
    assert.deepEqual(
      devices.map(({ name, kind }) => [name, kind]),
      [
        ['base', 'base'],
        ['shop', 'container'],
      ],
    );
    const again = await own.try('legacy', 'import', graph, 'web1', '--name', 'shop');
    assert.equal(again.code, 4, again.stderr);
    assert.equal((await own.json<Usage[]>('ls')).length, 2);
    assert.equal((await own.json<{ ok: boolean }>('check')).ok, true);
  });

  it('removes what it made when the pool runs full', async () => {
    const own = new Cli(scratch.current, 'root-full');
    await own.run('init', '--base-size', '320M', '--data-size', '3M', '--opt', 'dm.min_free_space=0%');
    const { code, stderr } = await own.try('legacy', 'import', graph, '--all');
    assert.equal(code, 6, stderr);
    assert.deepEqual(
      (await own.json<Usage[]>('ls')).map(({ name }) => name),
      ['base'],
    );
  });

  it('refuses a damaged device, names what is lost, and takes the rest on request', async () => {
    const folder = scratch.current.at('damaged');
    await mkdir(folder);
    const metadata = path.join(folder, 'metadata');
    await copyFile(path.join(graph, 'devicemapper/metadata'), metadata);
    const files = ['--metadata', metadata, '--data', path.join(graph, 'devicemapper/data')];
    const bytes = await readFile(metadata);

    const leaf = nodesOf(bytes, 6).at(-1)!;
    damageBlock(bytes, leaf);
    await writeFile(metadata, bytes);
    const raw = scratch.current.at('damaged.img');
    const refused = await cli.try('legacy', 'export', ...files, '6', '--output', raw);
    assert.equal(refused.code, 7);
    assert.match(refused.stderr, new RegExp(`device 6 / node block ${leaf}.*--skip-damaged`));
    assert.equal(existsSync(raw), false);
    const all = await cli.try('legacy', 'import', ...files, '--all');
    assert.equal(all.code, 7);
    assert.doesNotMatch(all.stderr, /devices are damaged/);
    const skipped = await cli.try('legacy', 'export', ...files, '6', '--output', raw, '--skip-damaged');
    assert.equal(skipped.code, 0, skipped.stderr);
    const lostFrom = Number(/from block \d+ \(byte (\d+)\) on is lost/.exec(skipped.stderr)?.[1]);
    assert.ok(lostFrom > 0, skipped.stderr);
    await run('cmp', ['--bytes', String(lostFrom), raw, image('lost')]);
    assert.equal((await stat(raw)).size, SIZE);
    const other = scratch.current.at('other.img');
    await cli.run('legacy', 'export', ...files, '2', '--output', other);
    await run('cmp', [other, image('debian')]);
    const info = await cli.try('legacy', 'info', ...files);
    assert.equal(info.code, 7);
    assert.match(info.stdout, new RegExp(`device 6 / node block ${leaf}`));

    damageBlock(bytes, nodesOf(bytes, 2).at(-1)!);
    await writeFile(metadata, bytes);
    const both = await cli.try('legacy', 'import', ...files, '--all');
    assert.equal(both.code, 7);
    assert.match(both.stderr, /2 devices are damaged: \S+2, \S+6; the first: device \S+2 /);
  });

  it('has written nothing of the old pool in all of this', async () => {
    assert.deepEqual(await traces(docker), untouched);
  });

  /** What each device holds alone is what only its own filesystem changed, and nothing is there twice. */
  async function sharesAsBefore(own: Cli): Promise<void> {
    const { devices, pool } = await own.json<{ devices: Usage[]; pool: { used: number } }>('df');
    const old = await cli.json<Listed[]>('legacy', 'ls', graph);
    for (const { name, mapped } of devices)
      if (name !== 'base')
        assert.equal(
          mapped,
          old.find((one) => one.name === (name === 'docker-base' ? 'base' : name))?.mapped,
          name,
        );
    const { dataUsed } = await cli.json<{ dataUsed: number }>('legacy', 'info', graph);
    const base = devices.find(({ name }) => name === 'base')?.mapped ?? 0;
    const web = old.find(({ name }) => name === 'web1')?.mapped ?? 0;
    // web1, which was changed and removed above, takes with it what it held alone.
    assert.ok(pool.used - base <= dataUsed, `${pool.used - base} of ${dataUsed}`);
    assert.ok(pool.used - base > dataUsed - web);
    const exclusive = devices.find(({ name }) => name === 'thin-6')?.exclusive ?? 0;
    assert.ok(exclusive >= 20_000_000 && exclusive < 24 * 2 ** 20, String(exclusive));
  }

  async function gone(before: readonly string[]): Promise<void> {
    const fresh = async (): Promise<string[]> =>
      (await readdir(tmpdir())).filter(
        (name) => name.startsWith('thinfuse-legacy-') && !before.includes(name),
      );
    await eventually('its folder is gone', async () => (await fresh()).length === 0);
    await eventually(
      'its loop device is gone',
      async () => (await loopsUnder(path.join(tmpdir(), 'thinfuse-legacy-'))).length === 0,
    );
    assert.deepEqual(
      (await mounts()).filter(({ target }) => target.startsWith(scratch.current.root)),
      [],
    );
  }
});

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Of every file: its size and when it was changed. */
async function traces(folder: string): Promise<readonly (readonly [string, number, number])[]> {
  const names = (await readdir(folder, { recursive: true })).sort();
  return Promise.all(
    names.map(async (name) => {
      const { size, mtimeMs } = await stat(path.join(folder, name));
      return [name, size, mtimeMs] as const;
    }),
  );
}
