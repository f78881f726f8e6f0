import assert from 'node:assert/strict';
import { parseMountTable } from '../../src/format/mount-info.js';
import { MountTable, isBelow } from '../../src/host/mount-table.js';

const TEXT = String.raw`21 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 21 7:3 / /srv/a\040b rw,relatime shared:1 master:2 - xfs /dev/loop3 rw,attr2
31 21 7:3 /rootfs /srv/bind ro - xfs /dev/loop3 rw,attr2
32 21 0:50 / /srv/dev rw,nosuid - fuse.thinfuse thinfuse rw,user_id=0
33 30 0:51 / /srv/a\040b/x\134y rw - tmpfs - rw
34 21 7:31 / /srv/covered rw - ext4 /dev/loop31 rw
35 34 0:52 / /srv/covered rw - tmpfs none rw
`;

describe('MountTable', () => {
  const table = new MountTable(parseMountTable(TEXT));

  it('parses optional fields, escapes and bind roots', () => {
    assert.equal(table.rows.length, 7);
    assert.deepEqual(table.rows[1], {
      id: 30,
      parentId: 21,
      device: '7:3',
      root: '/',
      target: '/srv/a b',
      options: 'rw,relatime',
      type: 'xfs',
      source: '/dev/loop3',
      superOptions: 'rw,attr2',
    });
    const inner = table.rows[4];
    assert.equal(inner?.target, String.raw`/srv/a b/x\y`);
    assert.equal(inner.source, '-');
  });

  it('skips what is no row', () => {
    assert.deepEqual(parseMountTable('\nrubbish\n1 2 3:4 / /x rw\n'), []);
  });

  it('finds what is on a target; the last mount hides earlier ones', () => {
    assert.equal(table.on('/srv/covered')?.type, 'tmpfs');
    assert.equal(table.on('/srv'), undefined);
  });

  it('finds a loop device by its number, binds included, and by no prefix of it', () => {
    assert.deepEqual(
      table.ofLoop('/dev/loop3').map((row) => row.target),
      ['/srv/a b', '/srv/bind'],
    );
    assert.deepEqual(table.ofLoop('/dev/loop1'), []);
  });

  it('gathers the mounts of each loop device, also of a filesystem that has a number of its own', () => {
    const btrfs = '36 21 0:60 / /srv/pool rw - btrfs /dev/loop5 rw\n';
    const loops = new MountTable(parseMountTable(TEXT + btrfs)).onLoops();
    assert.deepEqual(
      loops.map(([device, rows]) => [device, rows.map((row) => row.target)]),
      [
        ['/dev/loop3', ['/srv/a b', '/srv/bind']],
        ['/dev/loop31', ['/srv/covered']],
        ['/dev/loop5', ['/srv/pool']],
      ],
    );
  });

  it('finds what is below a folder', () => {
    assert.deepEqual(
      table.below('/srv/a b').map((row) => row.target),
      ['/srv/a b', String.raw`/srv/a b/x\y`],
    );
    assert.equal(table.below('/').length, 7);
    assert.deepEqual(table.below('/sr'), []);
  });

  it('reads this machine’s table', async function () {
    if (process.platform !== 'linux') return this.skip();
    assert((await MountTable.read()).on('/') !== undefined);
  });
});

describe('isBelow', () => {
  it('compares whole components', () => {
    assert(isBelow('/a/b', '/a'));
    assert(isBelow('/a', '/a'));
    assert(isBelow('/a', '/'));
    assert(!isBelow('/ab', '/a'));
  });
});
