import assert from 'node:assert/strict';
import { readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { openLevelStore, type LevelStore } from '../../src/store/level-store.js';
import { makeBarePool } from '../support/bare-pool.js';
import { Cli } from '../support/cli.js';
import { useScratch } from '../support/mounts.js';

interface DeviceJson {
  readonly name: string;
  readonly kind: string;
  readonly origin: string | null;
  readonly size: number;
}

const MIB = 2 ** 20;

describe('command line: a pool without a daemon', function () {
  const scratch = useScratch();
  let cli: Cli;

  before(async () => {
    cli = new Cli(scratch.current);
    await makeBarePool(cli.root);
  });

  it('makes, lists, renames, grows and removes devices', async () => {
    await cli.run('image', 'create', 'debian');
    await cli.run('container', 'create', 'web', '--image', 'debian', '--size', '1G');
    assert.equal(await cli.run('snapshot', 'web-before', 'web'), 'web-before\n');
    assert.equal(await cli.run('rename', 'web-before', 'web-old'), 'web-old\n');
    await cli.run('grow', 'web-old', '2G');
    await cli.run('container', 'commit', 'web', 'debian-web');
    const devices = await cli.json<DeviceJson[]>('ls');
    assert.deepEqual(
      devices.map(({ name, kind, origin, size }) => [name, kind, origin, size / MIB]),
      [
        ['base', 'base', null, 512],
        ['debian', 'image', 'base', 512],
        ['web', 'container', 'debian', 1024],
        ['web-old', 'snapshot', 'web', 2048],
        ['debian-web', 'image', 'web', 1024],
      ],
    );
    assert.deepEqual(
      (await cli.json<DeviceJson[]>('image', 'ls')).map(({ name }) => name),
      ['debian', 'debian-web'],
    );
    assert.deepEqual(await cli.json('rm', 'web-old', 'debian-web'), {
      removed: ['web-old', 'debian-web'],
      deferred: [],
    });
  });

  it('gives every device the same keys', async () => {
    const [base] = await cli.json<object[]>('ls');
    assert.deepEqual(Object.keys(base ?? {}), [
      'name',
      'id',
      'kind',
      'origin',
      'originId',
      'size',
      'quota',
      'limit',
      'mapped',
      'exclusive',
      'shared',
      'remote',
      'highestMapped',
      'transactionId',
      'creationTime',
      'snapTime',
      'createdAt',
      'filesystem',
      'filesystemSize',
      'initialized',
      'deleted',
      'content',
      'automount',
      'labels',
      'label',
      'unfinished',
      'active',
      'path',
      'loop',
      'mountPoint',
    ]);
  });

  it('has an exit code for each kind of failure, and says what to do', async () => {
    const cases: readonly [readonly string[], number, RegExp][] = [
      [['snapshot', 'a', 'nobody'], 3, /nobody.*thinfuse ls/],
      [['snapshot', 'web', 'debian'], 4, /web/],
      [['snapshot', 'a/b', 'web'], 2, /"\/"/],
      [['snapshot', '', 'web'], 2, /empty/],
      [['snapshot', 'x'.repeat(200), 'web'], 2, /200 characters/],
      [['snapshot', 'base', 'web'], 2, /reserved/],
      [['rm', 'base'], 2, /base/],
      [['grow', 'web', '1M'], 2, /shrink/],
      [['container', 'create', 'c', '--image', 'web'], 2, /starts from an image/],
      [['container', 'create', 'c', '--image', 'debian', '--size', '1M'], 2, /smaller/],
      [['container', 'rm', 'debian'], 2, /of kind image/],
      [['container', 'commit', 'debian', 'b'], 2, /of kind image/],
      [['image', 'create', 'i', '--parent', 'web'], 2, /of kind container/],
      [['image', 'create', 'i', '--from', '/nowhere'], 3, /nowhere/],
      [['mount', 'web'], 11, /thinfuse start/],
      [['activate', 'web'], 11, /thinfuse start/],
      [['stop'], 11, /thinfuse start/],
      [['status'], 11, /thinfuse start/],
      [['start', '--opt', 'dm.blocksize=128K', '--foreground'], 2, /dm\.blocksize/],
      [['start', '--opt', 'dm.basesize=1M'], 2, /dm\.basesize/],
      [['init'], 4, /already/],
    ];
    const before = await cli.run('ls', '--json');
    for (const [args, expected, message] of cases) {
      const { code, stderr } = await cli.try(...args);
      assert.equal(code, expected, `${args.join(' ')}: ${stderr}`);
      assert.match(stderr, message, args.join(' '));
    }
    assert.equal(await cli.run('ls', '--json'), before);
  });

  it('removes what it can and tells what it could not', async () => {
    await cli.run('snapshot', 'gone', 'web');
    const { code, stdout, stderr } = await cli.try('rm', 'nobody', 'gone');
    assert.deepEqual([code, stdout], [3, 'gone\n']);
    assert.match(stderr, /nobody/);
  });

  it('checks the pool', async () => {
    const report = await cli.json<{ ok: boolean; findings: unknown[] }>('check');
    assert.deepEqual([report.ok, report.findings], [true, []]);
  });

  it('lets several commands at once take turns', async () => {
    const names = ['turn1', 'turn2', 'turn3'];
    await Promise.all(names.map((name) => cli.run('snapshot', name, 'web')));
    await cli.run('rm', ...names);
  });

  it('says who has the pool when it stays locked', async () => {
    const store: LevelStore = await openLevelStore(path.join(cli.root, 'devicemapper'));
    try {
      const { code, stderr } = await cli.try('ls');
      assert.equal(code, 5);
      assert.match(stderr, new RegExp(String(process.pid)));
    } finally {
      await store.close();
    }
  });

  it('changes nothing where init finds something else', async () => {
    const other = new Cli(scratch.current, 'foreign');
    await makeBarePool(other.root);
    await rm(path.join(other.root, 'devicemapper'), { recursive: true });
    await writeFile(path.join(other.root, 'precious'), 'data');
    const before = await readdir(other.root);
    const { code, stderr } = await other.try('init');
    assert.equal(code, 4);
    assert.match(stderr, /not empty/);
    assert.deepEqual(await readdir(other.root), before);
  });

  it('says that there is no pool', async () => {
    const none = new Cli(scratch.current, 'none');
    for (const args of [['ls'], ['start'], ['mount', 'a'], ['check']]) {
      const { code, stderr } = await none.try(...args);
      assert.equal(code, 3, args.join(' '));
      assert.match(stderr, /thinfuse init/);
    }
    await assert.rejects(readdir(none.root), { code: 'ENOENT' });
  });

  it('says that the LevelDB folder is damaged', async () => {
    const broken = new Cli(scratch.current, 'broken');
    await makeBarePool(broken.root);
    await rm(path.join(broken.root, 'devicemapper', 'CURRENT'));
    const { code, stderr } = await broken.try('ls', '--json');
    assert.equal(code, 7);
    assert.match(stderr, /"code":"damaged".*CURRENT/);
  });
});
