import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, open, readFile, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { ThinError } from '../../src/errors/thin-error.js';
import { openPool, type Pool } from '../../src/library/index.js';
import { putSuperblock } from '../../src/metadata/auto-repair.js';
import { readSuperblock } from '../../src/metadata/open-metadata.js';
import { openPoolStore } from '../../src/store/pool-store.js';
import { CLI_COMMAND, Cli } from '../support/cli.js';
import { eventually } from '../support/eventually.js';
import { loopsUnder, mounts, requireMounts, run, tryRun, useScratch } from '../support/mounts.js';

const INCOMPLETE = 10;
const CHUNK = 65536;
const PAGE = Buffer.alloc(4096, 7);

/** Runs until the pool has no space for it. */
async function untilFull(work: () => Promise<void>): Promise<void> {
  const full = await work().then(
    () => undefined,
    (error: unknown) => error,
  );
  assert(full instanceof ThinError && full.code === 'no-space', String(full));
}

describe('a view of a device whose log cannot be replayed', function () {
  this.timeout(300_000);
  requireMounts(['mkfs.ext4', 'qemu-img', 'thin_restore']);
  const scratch = useScratch();
  const content = randomBytes(100_000);
  let cli: Cli;
  let disk: string;

  /** On a disk of its own, with a file that was durable when the daemon died. */
  before(async () => {
    const file = scratch.current.at('disk');
    await writeFile(file, '');
    await truncate(file, 1024 * 2 ** 20);
    await run('mkfs.ext4', ['-q', '-e', 'remount-ro', file]);
    disk = await scratch.current.mount(await scratch.current.attach(file), 'ext4');
    cli = new Cli(scratch.current, path.relative(scratch.current.root, path.join(disk, 'root')));
    const sizes = ['--base-size', '256M', '--data-size', '192M', '--metadata-size', '2M'];
    const data = ['--data', path.join(disk, 'data'), '--opt', 'dm.min_free_space=0%'];
    await cli.run('init', '--fs', 'ext4', ...sizes, ...data);
    await cli.run('start');
    await cli.run('snapshot', 'web', 'base');
    // A pool that cannot take its log over does not have a device that only its log has.
    await cli.call('pool.settle', {});
    const target = (await cli.run('mount', 'web')).trim();
    for (const place of [path.join(target, 'durable'), target]) {
      const opened = await open(place, place === target ? 'r' : 'w');
      if (place !== target) await opened.writeFile(content);
      await opened.sync();
      await opened.close();
    }
    await cli.kill();
  });

  // A failure of one is not to be the next one's.
  afterEach(async () => {
    await cli.try('stop');
  });

  async function inPool(work: (pool: Pool) => Promise<void>): Promise<void> {
    const pool = await openPool(cli.root);
    try {
      await work(pool);
    } finally {
      await pool.close();
    }
  }

  async function leavesNothing(): Promise<void> {
    assert.deepEqual(await loopsUnder(cli.root), []);
    assert.equal((await cli.run('dump')).includes('~view'), false);
  }

  /**
   * It is shown, and says what it lacks.
   * @param mayBeWhole the log may have had room for the view, which then lacks nothing
   */
  async function saysSo(why: RegExp, mayBeWhole = false): Promise<void> {
    const target = scratch.current.at('target');
    await mkdir(target, { recursive: true });
    const mounted = await cli.try('--json', 'mount', '--ro', 'web', target);
    if (mayBeWhole && mounted.code === 0) {
      assert(content.equals(await readFile(path.join(target, 'durable'))));
      await cli.run('umount', 'web');
      await leavesNothing();
      return;
    }
    assert.equal(mounted.code, INCOMPLETE, mounted.stderr);
    const { lacks } = JSON.parse(mounted.stdout) as { lacks: string };
    // Its filesystem's log, or the pool's own, which comes before it.
    assert.match(lacks, /shown (without what its filesystem's log holds|as the pool's last commit has them)/);
    assert.match(lacks, why);
    assert.equal((await readdir(target)).includes('lost+found'), true);
    // The view holds the device, to which nobody can write.
    const meanwhile = await cli.try('export', 'web', '--output', scratch.current.at('mounted.tar'));
    assert.equal(meanwhile.code, INCOMPLETE, meanwhile.stderr);
    assert.doesNotMatch(meanwhile.stderr, /device thinfuse-passing/);
    await cli.run('umount', 'web');
    const tar = await cli.try('export', 'web', '--output', scratch.current.at('part.tar'));
    assert.equal(tar.code, INCOMPLETE, tar.stderr);
    await leavesNothing();
  }

  /** So does whatever else reads the device, or tells of the pool. */
  async function everybodySaysSo(): Promise<void> {
    const lacking = /as the pool's last commit has them/;
    const activated = await cli.try('--json', 'activate', 'web');
    assert.equal(activated.code, INCOMPLETE);
    assert.match((JSON.parse(activated.stdout) as { lacks: string }).lacks, lacking);
    const raw = await cli.try(
      'export',
      'web',
      '--format',
      'raw',
      '--output',
      scratch.current.at('active.raw'),
    );
    assert.equal(raw.code, INCOMPLETE, raw.stderr);
    assert.equal((await cli.call('device.get', { name: 'web' })).active, true, 'it is who activated it');
    await cli.run('deactivate', 'web');
    for (const format of ['raw', 'qcow2', 'dm-thin']) {
      const output = scratch.current.at(`part.${format}`);
      const device = format === 'dm-thin' ? [] : ['web'];
      const exported = await cli.try('export', ...device, '--format', format, '--output', output);
      assert.equal(exported.code, INCOMPLETE, exported.stderr);
      assert.match(exported.stderr, lacking);
      assert.equal(existsSync(output), true);
    }
    const sent = await tryRun(
      'sh',
      ['-c', '"$@" >"$0"', scratch.current.at('stream'), ...CLI_COMMAND, 'send', 'web'],
      {
        env: { ...process.env, THINFUSE_ROOT: cli.root },
      },
    );
    assert.equal(sent.code, INCOMPLETE, sent.stderr);
    assert.match(sent.stderr, lacking);
    for (const command of ['ls', 'df', 'info']) assert.match((await cli.try(command)).stderr, lacking);
    assert.match(await cli.run('status'), lacking);
    assert.match((await cli.call('pool.info', {})).lacks ?? '', lacking);
    await cli.run('stop');
    await inPool(async (pool) => {
      assert.match(pool.info().lacks ?? '', lacking);
      assert.match((await pool.exportRaw('web', scratch.current.at('offline.raw'))) ?? '', lacking);
    });
    await cli.run('start');
  }

  async function isWhole(): Promise<void> {
    const target = scratch.current.at('target');
    await cli.run('mount', '--ro', 'web', target);
    assert(content.equals(await readFile(path.join(target, 'durable'))));
    await cli.run('umount', 'web');
    await leavesNothing();
  }

  it('says so in a pool that needs a check', async () => {
    const store = await openPoolStore(path.join(cli.root, 'devicemapper'));
    const needsCheck = putSuperblock({ ...readSuperblock(store), needsCheck: true });
    await store.batch([needsCheck], { sync: true });
    await store.close();
    await cli.run('start');
    await saysSo(/read-only/);
    await everybodySaysSo();
    await cli.run('stop');
    await cli.run('check', '--clear-needs-check-flag');
  });

  it('says so in a pool whose data is full, where the replay itself finds no room', async () => {
    await inPool(async (pool) => {
      const filler = await pool.create('filler', { size: 2 ** 30 });
      await untilFull(async () => {
        for (let block = 0; ; block++) await filler.write(block * CHUNK, PAGE);
      });
    });
    await cli.run('start');
    await saysSo(/No space|superblock/);
    await cli.run('rm', 'filler');
    await cli.call('pool.settle', {});
    await isWhole();
    await cli.run('stop');
  });

  it('says so in a pool whose metadata is full', async () => {
    const made: string[] = ['filler'];
    await inPool(async (pool) => {
      let device = await pool.create('filler', { size: 2 ** 30 });
      for (let block = 0; block < 2000; block++) await device.write(block * CHUNK, PAGE);
      await untilFull(async () => {
        for (;;) {
          device = await device.snapshot(`filler-${made.length}`);
          made.push(device.name);
          for (let block = 0; block < 2000; block += 150) await device.write(block * CHUNK, PAGE);
          await device.flush();
        }
      });
    });
    await cli.run('start');
    await saysSo(/./);
    await cli.run('rm', ...made);
    await cli.call('pool.settle', {});
    await isWhole();
    await cli.run('stop');
  });

  it('says so where the disk under the pool is full', async () => {
    await cli.run('start');
    const filler = path.join(disk, 'filler');
    await run('sh', ['-c', 'cat /dev/zero >"$1" || true', 'sh', filler]);
    await saysSo(/./, true);
    await rm(filler);
    await eventually('the pool sees that there is room', async () => {
      return (await cli.try('snapshot', 'probe', 'base')).code === 0;
    });
    await isWhole();
    await cli.run('stop');
    assert.equal((await cli.json<{ ok: boolean }>('check')).ok, true);
  });

  it('has folders for views where the disk has no room for one', async () => {
    await cli.run('start');
    await cli.run('snapshot', 'other', 'base');
    const filler = path.join(disk, 'filler');
    const folders = path.join(disk, 'folders');
    const fill = (turn: number): Promise<string> =>
      run('sh', [
        '-c',
        'cat /dev/zero >>"$1"; mkdir -p "$2"; n=0; while mkdir "$2/$3-$n"; do n=$((n + 1)); done; true',
        'sh',
        filler,
        folders,
        `${turn}`,
      ]);
    await fill(0);
    // More often than there are spare ones.
    for (let turn = 1; turn <= 20; turn++) {
      // What the daemon gave back of its reserve goes, too, and nobody makes a folder there.
      if (turn <= 4) await fill(turn);
      const mounted = await cli.try('mount', '--ro', 'web');
      assert([0, INCOMPLETE].includes(mounted.code), mounted.stderr);
      assert.equal((await readdir(path.join(cli.root, 'mnt/web'))).includes('lost+found'), true);
      await cli.run('umount', 'web');
    }
    await fill(21);
    for (const read of [
      ['diff', 'web', 'other'],
      ['export', 'web', '--output', scratch.current.at('full.tar')],
    ]) {
      const { code, stderr } = await cli.try(...read);
      assert([0, INCOMPLETE].includes(code), stderr);
    }
    assert.deepEqual(await readdir(path.join(cli.root, 'mnt')), []);
    await rm(filler);
    await rm(folders, { recursive: true, force: true });
    await eventually('the pool sees that there is room', async () => {
      return (await cli.try('snapshot', 'probe2', 'base')).code === 0;
    });
    await isWhole();
    await cli.run('stop');
    assert.equal((await cli.json<{ ok: boolean }>('check')).ok, true);
  });

  it('says so where an error has made the disk read-only, and lets go of it', async () => {
    await cli.run('start');
    const { source } = (await mounts()).find((row) => row.target === disk)!;
    await writeFile(`/sys/fs/ext4/${path.basename(source)}/trigger_fs_error`, '1');
    const target = scratch.current.at('target');
    assert.equal((await cli.try('mount', '--ro', 'web', target)).code, INCOMPLETE);
    const tar = await cli.try('export', 'web', '--output', scratch.current.at('part.tar'));
    assert.equal(tar.code, INCOMPLETE, tar.stderr);
    const image = await cli.try(
      'export',
      'web',
      '--format',
      'qcow2',
      '--output',
      scratch.current.at('ro.qcow2'),
    );
    assert.equal(image.code, 0, image.stderr);
    await cli.run('umount', 'web');
    // The pool's disk takes no mount point.
    const own = await cli.try('mount', '--ro', 'web');
    assert.equal(own.code, INCOMPLETE, own.stderr);
    assert.ok(!own.stdout.startsWith(disk), own.stdout);
    assert.ok(
      (await mounts()).some(({ target }) => target === own.stdout.trim()),
      own.stdout,
    );
    await cli.run('umount', 'web');
    await cli.run('stop');
    await run('umount', [disk]);
    assert.deepEqual(await loopsUnder(cli.root), []);
    const again = await cli.try('start');
    assert.notEqual(again.code, 0);
    await run('fsck.ext4', ['-fp', source]).catch(() => undefined);
    await run('mount', [source, disk]);
    assert.equal((await cli.json<{ ok: boolean }>('check')).ok, true);
  });
});
