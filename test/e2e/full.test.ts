import assert from 'node:assert/strict';
import path from 'node:path';
import type { PoolInfo } from '../../src/pool/info.js';
import { Cli } from '../support/cli.js';
import { requireMounts, tryRun, useScratch } from '../support/mounts.js';

const MIB = 2 ** 20;

for (const kind of ['leveldb', 'direct'] as const)
  describe(`a full pool under a filesystem (${kind})`, function () {
    this.timeout(300_000);
    requireMounts(['mkfs.xfs', 'dd']);
    const scratch = useScratch();
    let cli: Cli;

    const mode = async (): Promise<PoolInfo['mode']> =>
      (await cli.json<{ mode: PoolInfo['mode'] }>('status')).mode;
    /** Random bytes; `at` in MiB. */
    const dd = (file: string, mib: number, at = 0): ReturnType<typeof tryRun> =>
      tryRun('dd', [
        'if=/dev/urandom',
        `of=${file}`,
        'bs=1M',
        `count=${mib}`,
        `seek=${at}`,
        'conv=notrunc,fsync',
        'oflag=direct',
      ]);

    before('make a small pool and start it', async () => {
      cli = new Cli(scratch.current);
      const where = kind === 'direct' ? ['--data', scratch.current.at('data.img')] : [];
      const options = ['--opt', 'dm.min_free_space=0%', '--opt', 'dm.xfs_nospace_max_retries=0'];
      await cli.run('init', '--base-size', '512M', '--data-size', '96M', ...where, ...options);
      await cli.run('start');
    });

    it('gives writers ENOSPC; looking, removing and unmounting go on; room lets it go on', async () => {
      await cli.run('snapshot', 'fs', 'base');
      await cli.run('snapshot', 'raw', 'base');
      const mountPoint = (await cli.run('mount', 'fs')).trim();
      const image = (await cli.run('activate', 'raw')).trim();
      assert.equal((await dd(image, 60, 100)).code, 0);
      const { code, stderr } = await dd(path.join(mountPoint, 'large'), 200);
      assert.equal(code, 1);
      assert.match(stderr, /No space left on device|Input\/output error/);
      assert.match((await dd(image, 100, 200)).stderr, /No space left on device/);
      assert.equal(await mode(), 'out_of_data_space');
      assert.match(await cli.run('info'), /Data Space Available: 0B/);
      const doctor = await cli.try('doctor');
      assert.equal(doctor.code, 1);
      assert.match(doctor.stdout, /it is full/);
      assert.equal(
        (await tryRun('dd', [`if=${image}`, 'of=/dev/null', 'bs=1M', 'skip=100', 'count=60'])).code,
        0,
      );
      await cli.run('umount', 'fs');
      await cli.run('rm', 'fs');
      const { dataTotal } = await cli.json<{ dataTotal: number }>('extend', '+64M');
      assert.equal(dataTotal, 160 * MIB);
      assert.equal((await dd(image, 40, 300)).code, 0);
      assert.equal(await mode(), 'rw');
    });

    it('says what cannot be extended', async () => {
      for (const [args, exit] of [
        [[], 2],
        [['64M'], 2],
        [['nonsense'], 2],
        [['--metadata', '1M'], 2],
      ] as const) {
        const { code, stderr } = await cli.try('extend', ...args);
        assert.equal(code, exit, stderr);
      }
      assert.equal((await cli.try('quota', 'nobody', '1G')).code, 3);
      assert.equal((await cli.try('quota', 'raw', '1M')).code, 2);
      assert.equal((await cli.try('quota', 'base', '1G')).code, 2);
    });

    it('bounds a device by its quota, and the pool stays open to others', async () => {
      await cli.run('snapshot', '--quota', '16M', 'small', 'base');
      const image = (await cli.run('activate', 'small')).trim();
      assert.match((await dd(image, 64, 100)).stderr, /No space left on device/);
      const all = await cli.json<{ name: string; mapped: number; quota: number | null }[]>('ls');
      const small = all.find(({ name }) => name === 'small');
      assert.equal(small?.quota, 16 * MIB);
      assert.ok(small.mapped <= 16 * MIB);
      assert.equal(await mode(), 'rw');
      await cli.run('quota', 'small', 'none');
      assert.equal((await dd(image, 20, 100)).code, 0);
    });

    it('is as large, and as sound, after a restart', async () => {
      await cli.run('stop');
      assert.match(await cli.run('check'), /no problem found/);
      await cli.run('start');
      const image = (await cli.run('activate', 'raw')).trim();
      assert.equal(
        (await tryRun('dd', [`if=${image}`, 'of=/dev/null', 'bs=1M', 'skip=300', 'count=40'])).code,
        0,
      );
    });
  });
