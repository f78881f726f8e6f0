import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { copyFile, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { Cli } from '../support/cli.js';
import {
  EXTENT,
  linear,
  striped,
  volumeText,
  withFile,
  writeExtents,
  writeGroup,
  type TestDisk,
  type TestGroup,
} from '../support/lvm-disk.js';
import { requireMounts, run, useScratch } from '../support/mounts.js';
import { makeOldPool, type OldPool } from '../support/old-pool.js';

const BLOCK = 65536;
const VM_BYTES = 24 * 2 ** 20;
const DATA_BLOCKS = 512;
const META_EXTENTS = 256;

interface Listed {
  readonly id?: number;
  readonly name: string;
  readonly kind: string;
  readonly size: number;
  readonly filesystem?: string;
  readonly state: string;
}

/**
 * A disk of LVM: a thin pool whose data lies in two segments, thin volumes, one of them over an ordinary
 * volume, and a RAID.
 */
describe('end to end: an old disk of LVM', function () {
  this.timeout(300_000);
  requireMounts(['mkfs.ext4', 'thin_restore', 'filefrag', 'losetup']);
  const scratch = useScratch();
  let cli: Cli;
  let pool: OldPool;
  let disk: TestDisk;
  let group: TestGroup;
  let big: Buffer;
  const at = (name: string): string => scratch.current.at(name);
  const sum = async (file: string): Promise<string> =>
    createHash('sha256')
      .update(await readFile(file))
      .digest('hex');

  before('make it', async () => {
    await writeFile(at('vm'), '');
    await truncate(at('vm'), VM_BYTES);
    await run('mkfs.ext4', ['-q', '-m', '0', '-O', '^has_journal', at('vm')]);
    const loop = await scratch.current.attach(at('vm'), { directIo: false });
    const folder = await scratch.current.mount(loop, 'ext4', []);
    big = randomBytes(6 * 2 ** 20);
    await writeFile(`${folder}/big file`, big);
    await writeFile(`${folder}/small`, 'small\n');
    await scratch.current.unmount(folder);
    await scratch.current.detach(loop);
    await copyFile(at('vm'), at('snap'));
    const own = Buffer.alloc(8 * BLOCK);
    randomBytes(BLOCK).copy(own, 3 * BLOCK);
    await writeFile(at('child'), own);
    pool = await makeOldPool(
      at('pool'),
      [
        { id: 1, image: at('vm'), creationTime: 0, snapTime: 1, transaction: 0 },
        { id: 2, image: at('snap'), origin: 1, creationTime: 1, snapTime: 1, transaction: 1 },
        { id: 3, image: at('child'), creationTime: 1, snapTime: 1, transaction: 2 },
      ],
      { dataBlocks: DATA_BLOCKS },
    );
    const thin = (id: number, more = ''): string =>
      `type = "thin"\nthin_pool = "tp"\ntransaction_id = ${id}\ndevice_id = ${id}\n${more}`;
    disk = { path: at('disk'), name: 'pv0', extents: META_EXTENTS + DATA_BLOCKS + 64, begin: 2 ** 20 };
    group = {
      disks: [disk],
      textAt: 59_000,
      volumes: [
        volumeText('tp', [
          {
            extents: DATA_BLOCKS,
            text: 'type = "thin-pool"\nmetadata = "tp_tmeta"\npool = "tp_tdata"\ntransaction_id = 3\nchunk_size = 128',
          },
        ]),
        volumeText('vm', [{ extents: VM_BYTES / EXTENT, text: thin(1) }]),
        volumeText('snap', [{ extents: VM_BYTES / EXTENT, text: thin(2, 'origin = "vm"') }]),
        volumeText('child', [{ extents: 8, text: thin(3, 'external_origin = "ext"') }]),
        volumeText('ext', [{ extents: 6, text: linear('pv0', META_EXTENTS + DATA_BLOCKS) }]),
        volumeText('mirrored', [{ extents: 1, text: 'type = "raid1"' }]),
        volumeText('tp_tmeta', [{ extents: META_EXTENTS, text: linear('pv0', 100) }], '"READ", "WRITE"'),
        volumeText(
          'tp_tdata',
          [
            { extents: 100, text: linear('pv0', 0) },
            { extents: DATA_BLOCKS - 100, text: linear('pv0', 100 + META_EXTENTS) },
          ],
          '"READ", "WRITE"',
        ),
      ].join('\n'),
    };
    await writeFile(disk.path, '');
    await writeGroup(group);
    await mbr(disk.path);
    const data = await readFile(pool.data);
    await writeExtents(disk, 0, data.subarray(0, 100 * EXTENT));
    await writeExtents(disk, 100, await readFile(pool.metadata));
    await writeExtents(disk, 100 + META_EXTENTS, data.subarray(100 * EXTENT));
    const external = randomBytes(6 * EXTENT);
    await writeExtents(disk, META_EXTENTS + DATA_BLOCKS, external);
    await writeFile(at('ext'), external);
    const whole = Buffer.concat([external, Buffer.alloc(2 * BLOCK)]);
    own.copy(whole, 3 * BLOCK, 3 * BLOCK, 4 * BLOCK);
    await writeFile(at('child'), whole);
    cli = new Cli(scratch.current);
  });

  it('lists thin, ordinary and unsupported volumes by their names', async () => {
    const { stdout, stderr, code } = await cli.try('legacy', 'ls', disk.path, '--json');
    assert.equal(code, 0, stderr);
    const rows = JSON.parse(stdout) as readonly Listed[];
    assert.deepEqual(
      rows.map(({ id, name, kind, size, filesystem, state }) =>
        [id, name, kind, size, filesystem, state].map((value) => value ?? undefined),
      ),
      [
        [1, 'vm', 'thin', VM_BYTES, 'ext4', 'sound'],
        [2, 'snap', 'thin', VM_BYTES, 'ext4', 'sound'],
        [3, 'child', 'thin', 8 * BLOCK, undefined, 'sound'],
        [undefined, 'ext', 'plain', 6 * EXTENT, undefined, 'sound'],
        [undefined, 'mirrored', 'plain', undefined, undefined, 'unsupported'],
      ],
    );
    assert.match(stderr, /mirrored is a mirror or RAID/);
    assert.match(
      await cli.run('legacy', 'info', disk.path),
      /pool: old\/tp\n[^]*damage: none[^]*old\/ext: 384K/,
    );
  });

  it('lists what else is on disks whose pool cannot be opened, and ends with its code', async () => {
    const hit = { ...disk, path: at('hit') };
    await copyFile(disk.path, hit.path);
    await writeExtents(hit, 100, Buffer.alloc(4096));
    const { stdout, stderr, code } = await cli.try('legacy', 'ls', hit.path);
    assert.equal(code, 7, stderr);
    assert.match(stdout, /ext +plain .* sound/);
    assert.match(stderr, /superblock/);
    const json = await cli.try('legacy', 'ls', hit.path, '--json');
    assert.equal(json.code, 7, json.stderr);
    const rows = JSON.parse(json.stdout) as readonly Listed[];
    assert.deepEqual(
      rows.map(({ name }) => name),
      ['ext', 'mirrored'],
    );
  });

  it('calls a volume of a missing disk a volume, and tells nobody to search metadata that is not there', async () => {
    const disks = ['here', 'gone'].map((name) => ({ path: at(name), name, extents: 64 }));
    for (const { path } of disks) await writeFile(path, '');
    const [kept] = disks;
    const volumes = [
      volumeText('wide', [{ extents: 8, text: striped(32, ['here', 0], ['gone', 0]) }]),
      volumeText('tp', [
        {
          extents: 8,
          text: 'type = "thin-pool"\nmetadata = "tp_tmeta"\npool = "tp_tdata"\ntransaction_id = 1\nchunk_size = 128',
        },
      ]),
      volumeText('tp_tmeta', [{ extents: 32, text: linear('gone', 8) }], '"READ", "WRITE"'),
      volumeText('tp_tdata', [{ extents: 8, text: linear('here', 8) }], '"READ", "WRITE"'),
    ];
    await writeGroup({ disks, volumes: volumes.join('\n') });
    const { stdout, stderr, code } = await cli.try('legacy', 'ls', kept!.path);
    assert.equal(code, 7, stderr);
    assert.match(stdout, /wide +plain .* damaged/);
    assert.match(
      stderr,
      /the pool old\/tp cannot be opened: .* the disk gone of the group old was not given/,
    );
    assert.match(stderr, /volume wide is damaged: in \d+ places more/);
    assert.doesNotMatch(stderr, /--search/);
  });

  it('exports every volume as it is, from a device that takes no writes, and changes nothing', async () => {
    const before = await sum(disk.path);
    const loop = (await run('losetup', ['--find', '--show', '--read-only', disk.path])).trim();
    try {
      for (const name of ['vm', 'snap', 'child', 'ext', 'old/ext', '1']) {
        await cli.run('legacy', 'export', loop, name, '--output', at('out'));
        const image = { 'old/ext': 'ext', 1: 'vm' }[name] ?? name;
        assert.equal(await sum(at('out')), await sum(at(image)), name);
      }
      const folder = at('mounted');
      await cli.run('legacy', 'mount', loop, 'snap', folder);
      assert.equal(await readFile(`${folder}/small`, 'utf8'), 'small\n');
      await run('umount', [folder]);
    } finally {
      await run('losetup', ['--detach', loop]);
    }
    const refused = await cli.try('legacy', 'export', disk.path, 'mirrored', '--output', at('none'));
    assert.equal(refused.code, 8);
    assert.equal(await sum(disk.path), before);
  });

  it('shows what is below an external origin only where it is told, and says so', async () => {
    const files = ['--metadata', pool.metadata, '--data', pool.data];
    const bare = await cli.try('legacy', 'export', ...files, '3', '--output', at('out'));
    assert.equal(bare.code, 0);
    assert.match(bare.stderr, /unless it has an external origin/);
    assert.notEqual(await sum(at('out')), await sum(at('child')));
    await cli.run(
      ...['legacy', 'export', ...files, '3', '--external-origin', at('ext'), '--size', `${8 * BLOCK}`],
      ...['--output', at('out')],
    );
    assert.equal(await sum(at('out')), await sum(at('child')));
  });

  it('imports thin volumes, what is below them, and ordinary ones', async () => {
    await cli.run('init');
    const { stderr, code } = await cli.try('legacy', 'import', disk.path, '--all', '--prefix', 'old-');
    assert.equal(code, 0, stderr);
    assert.match(stderr, /mirrored is left out/);
    for (const name of ['vm', 'snap', 'child', 'ext']) {
      await cli.run('export', `old-${name}`, '--format', 'raw', '--output', at('out'));
      assert.equal(await sum(at('out')), await sum(at(name)), name);
    }
    await cli.run('check');
  });

  it('discards what no device maps, and nothing else of the disk', async () => {
    const copy = at('discarded');
    await run('cp', ['--sparse=never', disk.path, copy]);
    const before = (await stat(copy)).blocks;
    const { bytes } = await cli.json<{ bytes: number }>('discard', '--metadata', copy, '--pool', 'old/tp');
    assert.ok(bytes > 0);
    assert.equal((before - (await stat(copy)).blocks) * 512, bytes);
    for (const name of ['vm', 'snap', 'child', 'ext']) {
      await cli.run('legacy', 'export', copy, name, '--output', at('out'));
      assert.equal(await sum(at('out')), await sum(at(name)), name);
    }
    const nowhere = await cli.try('discard', '--metadata', copy, '--pool', 'other');
    assert.match(nowhere.stderr, /no thin pool other .*old\/tp/);
    const shrunk = await cli.try(
      ...['shrink', '--metadata', copy, '--data', copy, '--size', '1M', '--output', at('out')],
    );
    assert.equal(shrunk.code, 8);
    assert.match(shrunk.stderr, /LVM has no way/);
  });
});

/** The whole disk as one partition of LVM, from its second MiB on. */
async function mbr(path: string): Promise<void> {
  const { size } = await stat(path);
  const table = Buffer.alloc(512);
  table.writeUInt16LE(0xaa55, 510);
  table[446 + 4] = 0x8e;
  table.writeUInt32LE(2048, 446 + 8);
  table.writeUInt32LE(size / 512 - 2048, 446 + 12);
  await withFile(path, (handle) => handle.write(table, 0, 512, 0));
}
