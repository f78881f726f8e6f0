import assert from 'node:assert/strict';
import { mkdir, open, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { inodePlaces, RangeIndex, type InodePlaces } from '../../../src/containerd/diff/inode-places.js';
import { hasTool, run, useScratch } from '../../support/mounts.js';

async function placesIn(file: string): Promise<InodePlaces | undefined> {
  const device = await open(file);
  try {
    return await inodePlaces(device);
  } finally {
    await device.close();
  }
}

describe('where filesystems keep inodes', function () {
  this.timeout(60_000);
  const scratch = useScratch();

  async function imageOf(name: string, size: number): Promise<string> {
    const file = scratch.current.at(name);
    const image = await open(file, 'w');
    await image.truncate(size);
    await image.close();
    return file;
  }

  for (const options of [[], ['-O', '^64bit,^flex_bg', '-b', '1024'], ['-I', '512', '-b', '4096']])
    it(`is what debugfs says of an ext4 made with ${options.join(' ') || 'no options'}`, async function () {
      if (!((await hasTool('mkfs.ext4')) && (await hasTool('debugfs')))) this.skip();
      const folder = scratch.current.at(`files${options.join('')}`);
      await mkdir(folder);
      for (let i = 0; i < 300; i++) await writeFile(path.join(folder, `${i}`), '');
      const file = await imageOf(`ext4-${options.join('')}`, 300 * 2 ** 20);
      await run('mkfs.ext4', ['-q', '-F', ...options, '-d', folder, file]);
      const places = await placesIn(file);
      const said = await run('debugfs', ['-R', 'stats', file]);
      const [inodes, blockSize] = [/Inode count:\s+(\d+)/, /Block size:\s+(\d+)/].map((what) =>
        Number(what.exec(said)?.[1]),
      );
      assert(inodes !== undefined && blockSize !== undefined);
      for (const inode of [2, 11, 300, Math.floor(inodes / 2), inodes]) {
        const place = await run('debugfs', ['-R', `imap <${inode}>`, file]);
        const [, block, offset] = /located at block (\d+), offset (0x[0-9a-f]+)/.exec(place) ?? [];
        assert.equal(places?.of(BigInt(inode)), Number(block) * blockSize + Number(offset), place);
      }
      assert.equal(places?.of(BigInt(inodes + 1_000_000)), undefined);
    });

  it('is what xfs_db says of an xfs', async function () {
    if (!((await hasTool('mkfs.xfs')) && (await hasTool('xfs_db')))) this.skip();
    const file = await imageOf('xfs', 2 ** 30);
    await run('mkfs.xfs', ['-q', file]);
    const places = await placesIn(file);
    for (const inode of [128, 131, 5000, 400_000, 1_000_003]) {
      const said = await run('xfs_db', ['-r', '-c', `convert inode ${inode} byte`, file]);
      assert.equal(places?.of(BigInt(inode)), Number(/\((\d+)\)/.exec(said)?.[1]), said);
    }
  });

  it('is not known of anything else', async () => {
    assert.equal(await placesIn(await imageOf('empty', 2 ** 20)), undefined);
    assert.equal(await placesIn(await imageOf('short', 100)), undefined);
  });
});

describe('RangeIndex', () => {
  it('knows the bytes of its ranges, and no others', () => {
    const index = new RangeIndex([
      { begin: 10, end: 20 },
      { begin: 20, end: 21 },
      { begin: 40, end: 50 },
    ]);
    const all = Array.from({ length: 60 }, (_, byte) => byte);
    const inside = all.filter((byte) => (byte >= 10 && byte < 21) || (byte >= 40 && byte < 50));
    assert.deepEqual(
      all.filter((byte) => index.has(byte)),
      inside,
    );
    assert.equal(new RangeIndex([]).has(0), false);
  });
});
