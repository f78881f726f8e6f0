import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { blockFacts, blockTree, lsblkJson, lsblkTable, type BlockNode } from '../../src/docker/lsblk.js';
import { useScratch } from '../support/mounts.js';
import { device, GIB, poolInfo } from '../support/pool-values.js';

const base = device(1, 'base');
const web = device(2, 'web', {
  origin: base,
  kind: 'container',
  size: 20 * GIB,
  active: true,
  loop: '/dev/loop12',
  mountPoint: '/var/lib/thinfuse/mnt/web',
});
const facts = new Map([
  ['/dev/loop12', { number: '7:12', readOnly: true }],
  ['/dev/xvdf', { number: '202:80', readOnly: false }],
]);
const PREFIX = 'docker-202:1-1032';

function node(
  name: string,
  number: string,
  size: number,
  type: string,
  more: Partial<BlockNode> = {},
): BlockNode {
  return { name, number, size, type, readOnly: false, mountPoint: undefined, children: [], ...more };
}

describe('docker: lsblk', () => {
  const scratch = useScratch();

  it('prints the classic manual’s example as lsblk does', () => {
    const pool = node('docker-202:1-1032-pool', '253:2', 10 * GIB, 'dm');
    const roots = [
      node('xvda', '202:0', 8 * GIB, 'disk', {
        children: [node('xvda1', '202:1', 8 * GIB, 'part', { mountPoint: '/' })],
      }),
      node('xvdf', '202:80', 10 * GIB, 'disk', {
        children: [
          node('vg--docker-data', '253:0', 90 * GIB, 'lvm', { children: [pool] }),
          node('vg--docker-metadata', '253:1', 4 * GIB, 'lvm', { children: [pool] }),
        ],
      }),
    ];
    assert.equal(
      lsblkTable(roots),
      `NAME                       MAJ:MIN RM  SIZE RO TYPE MOUNTPOINT
xvda                       202:0    0    8G  0 disk
└─xvda1                    202:1    0    8G  0 part /
xvdf                       202:80   0   10G  0 disk
├─vg--docker-data          253:0    0   90G  0 lvm
│ └─docker-202:1-1032-pool 253:2    0   10G  0 dm
└─vg--docker-metadata      253:1    0    4G  0 lvm
  └─docker-202:1-1032-pool 253:2    0   10G  0 dm`,
    );
  });

  it('shows the pool under its data and its metadata, and thin devices on their loops', () => {
    const roots = blockTree({ prefix: PREFIX, info: poolInfo(), devices: [base, web], facts });
    assert.equal(
      lsblkTable(roots),
      `NAME                       MAJ:MIN RM  SIZE RO TYPE    MOUNTPOINT
data                         -      0  100G  0 leveldb
└─docker-202:1-1032-pool     -      0  100G  0 dm
  ├─docker-202:1-1032-base   -      0   10G  0 dm
  └─docker-202:1-1032-web    7:12   0   20G  1 dm      /var/lib/thinfuse/mnt/web
metadata                     -      0    2G  0 leveldb
└─docker-202:1-1032-pool     -      0  100G  0 dm`,
    );
  });

  it('names what a direct pool’s data is on', () => {
    const info = poolInfo({ kind: 'direct' });
    const on = (dataPath: string): BlockNode =>
      blockTree({ prefix: PREFIX, info, devices: [], facts, dataPath })[0]!;
    const disk = on('/dev/xvdf');
    assert.deepEqual([disk.name, disk.number, disk.type], ['xvdf', '202:80', 'disk']);
    const file = on('/srv/pool.img');
    assert.deepEqual([file.name, file.number, file.type], ['pool.img', undefined, 'file']);
  });

  it('has the JSON of lsblk', () => {
    const roots = blockTree({ prefix: PREFIX, info: poolInfo(), devices: [web], facts });
    const plain = { rm: false, ro: false };
    const pool = {
      name: 'docker-202:1-1032-pool',
      'maj:min': null,
      ...plain,
      size: 100 * GIB,
      type: 'dm',
      mountpoints: [null],
    };
    assert.deepEqual(lsblkJson(roots), {
      blockdevices: [
        {
          name: 'data',
          'maj:min': null,
          ...plain,
          size: 100 * GIB,
          type: 'leveldb',
          mountpoints: [null],
          children: [
            {
              ...pool,
              children: [
                {
                  name: 'docker-202:1-1032-web',
                  'maj:min': '7:12',
                  rm: false,
                  size: 20 * GIB,
                  ro: true,
                  type: 'dm',
                  mountpoints: ['/var/lib/thinfuse/mnt/web'],
                },
              ],
            },
          ],
        },
        {
          name: 'metadata',
          'maj:min': null,
          ...plain,
          size: 2 * GIB,
          type: 'leveldb',
          mountpoints: [null],
          children: [pool],
        },
      ],
    });
  });

  it('reads what sysfs says of a device', async () => {
    const sys = scratch.current.at('block');
    await mkdir(path.join(sys, 'loop3'), { recursive: true });
    await writeFile(path.join(sys, 'loop3', 'dev'), '7:3\n');
    await writeFile(path.join(sys, 'loop3', 'ro'), '1\n');
    assert.deepEqual(await blockFacts('/dev/loop3', sys), { number: '7:3', readOnly: true });
    assert.equal(await blockFacts('/dev/loop4', sys), undefined);
  });
});
