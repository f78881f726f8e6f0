import assert from 'node:assert/strict';
import { deviceState, listTable, spaceTable, treeTable } from '../../src/docker/listings.js';
import { lineage } from '../../src/docker/lineage.js';
import { device, GIB, MIB, poolInfo } from '../support/pool-values.js';

const base = device(1, 'base', { mapped: 16 * MIB, exclusive: 0, shared: 16 * MIB });
const debian = device(2, 'debian', {
  origin: base,
  mapped: 300 * MIB,
  exclusive: 2 * MIB,
  shared: 298 * MIB,
});
const web = device(3, 'web', {
  origin: debian,
  kind: 'container',
  size: 20 * GIB,
  mapped: 310 * MIB,
  exclusive: 12 * MIB,
  shared: 298 * MIB,
  active: true,
  loop: '/dev/loop3',
  path: '/var/lib/thinfuse/dev/docker-253:1-7-web',
  mountPoint: '/var/lib/thinfuse/mnt/web',
});
const db = device(4, 'db', { origin: debian, kind: 'container', active: true });
const old = device(5, 'old', { origin: debian });
const orphan = device(7, 'orphan', { origin: old, kind: 'container' });
const snap = device(9, 'orphan-before', { origin: orphan, kind: 'snapshot', deleted: true });

describe('docker: listings', () => {
  it('list devices for eyes and for awk', () => {
    assert.equal(
      listTable([base, debian, web, db]),
      `NAME    ID  KIND       ORIGIN  FSTYPE  SIZE  MAPPED  CREATED               STATE     MOUNTPOINT
base     1  base       -       xfs      10G     16M  2024-01-02T03:04:05Z  inactive  -
debian   2  image      base    xfs      10G    300M  2024-01-02T03:04:05Z  inactive  -
web      3  container  debian  xfs      20G    310M  2024-01-02T03:04:05Z  mounted   /var/lib/thinfuse/mnt/web
db       4  container  debian  xfs      10G      0B  2024-01-02T03:04:05Z  active    -`,
    );
  });

  it('draw the lineage, with an origin that is gone in its place', () => {
    assert.equal(
      treeTable([snap, orphan, db, web, debian, base]),
      `NAME               KIND       SIZE  MAPPED  EXCLUSIVE  SHARED  STATE
base               base        10G     16M         0B     16M  inactive
└─debian           image       10G    300M         2M    298M  inactive
  ├─web            container   20G    310M        12M    298M  mounted
  └─db             container   10G      0B         0B      0B  active
old                removed       -       -          -       -  -
└─orphan           container   10G      0B         0B      0B  inactive
  └─orphan-before  snapshot    10G      0B         0B      0B  deleted`,
    );
  });

  it('draw branches past siblings that have children', () => {
    const child = device(10, 'child', { origin: web });
    const lines = treeTable([base, debian, web, child, db]).split('\n').slice(1);
    assert.deepEqual(
      lines.map((line) => line.slice(0, 11).trimEnd()),
      ['base', '└─debian', '  ├─web', '  │ └─child', '  └─db'],
    );
  });

  it('take an origin by its number, whatever has its name by now', () => {
    const impostor = device(8, 'old', { origin: base });
    const roots = lineage([base, orphan, impostor]);
    assert.deepEqual(
      roots.map(({ id, device: present, children }) => [id, present !== undefined, children.length]),
      [
        [1, true, 1],
        [5, false, 1],
      ],
    );
  });

  it('draw a lineage of any depth', () => {
    const chain = [base];
    for (let id = 2; id <= 3000; id++) chain.push(device(id, `d${id}`, { origin: chain.at(-1)! }));
    const lines = treeTable(chain).split('\n');
    assert.equal(lines.length, 3001);
    assert.match(lines.at(-1)!, /^ {5996}└─d3000 +image /);
  });

  it('show space as df does', () => {
    assert.equal(
      spaceTable([base, web], poolInfo({ dataUsed: 312 * MIB })),
      `NAME  VIRTUAL  MAPPED  EXCLUSIVE  SHARED  USE%  MOUNTPOINT
base      10G     16M         0B     16M    1%  -
web       20G    310M        12M    298M    2%  /var/lib/thinfuse/mnt/web
pool     100G    312M          -       -    1%  -`,
    );
    assert.match(spaceTable([db]), /^db .* 0% {2}-$/m);
  });

  it('have titles where there is nothing', () => {
    assert.equal(spaceTable([]), 'NAME  VIRTUAL  MAPPED  EXCLUSIVE  SHARED  USE%  MOUNTPOINT');
    assert.equal(treeTable([]).split('\n').length, 1);
    assert.equal(listTable([]).split('\n').length, 1);
  });

  it('name the state of a device', () => {
    assert.deepEqual([base, db, web, snap].map(deviceState), ['inactive', 'active', 'mounted', 'deleted']);
  });
});
