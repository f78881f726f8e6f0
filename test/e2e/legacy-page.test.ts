import assert from 'node:assert/strict';
import { mkdir, readFile, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { LegacyPool } from '../../src/legacy/legacy-pool.js';
import { Cli } from '../support/cli.js';
import { MemoryBlocks } from '../support/legacy-metadata.js';
import { EXTENT, linear, volumeText, writeExtents, writeGroup, type TestDisk } from '../support/lvm-disk.js';
import { requireMounts, run, useScratch } from '../support/mounts.js';
import { makeOldPool, writeDockerFiles } from '../support/old-pool.js';

const PAGE = path.resolve(import.meta.dirname, '../../docs/legacy.md');
const BYTES = 24 * 2 ** 20;
const DATA_BLOCKS = 512;
const META_EXTENTS = 256;

/** Every command of docs/legacy.md, on what the page says that a person has. */
describe('end to end: the page of old pools', function () {
  this.timeout(300_000);
  requireMounts(['mkfs.ext4', 'thin_restore']);
  const scratch = useScratch();
  const at = (name: string): string => scratch.current.at(name);
  let cli: Cli;
  let words: ReadonlyMap<string, string>;

  before('make the disk, the two disks, the folder, the files and the broken ones', async () => {
    cli = new Cli(scratch.current);
    await writeFile(at('vm'), '');
    await truncate(at('vm'), BYTES);
    await run('mkfs.ext4', ['-q', '-m', '0', '-O', '^has_journal', at('vm')]);
    const loop = await scratch.current.attach(at('vm'), { directIo: false });
    const folder = await scratch.current.mount(loop, 'ext4', []);
    await mkdir(path.join(folder, 'rootfs'));
    await writeFile(path.join(folder, 'rootfs/page'), 'hello\n');
    await scratch.current.unmount(folder);
    await scratch.current.detach(loop);
    const docker = at('docker');
    const graph = path.join(docker, 'devicemapper');
    const pool = await makeOldPool(
      path.join(graph, 'devicemapper'),
      [1, 2, 3].map((id) => ({
        ...{ id, image: at('vm'), creationTime: id - 1, snapTime: 3, transaction: id },
        ...(id === 1 ? {} : { origin: 1 }),
      })),
      { dataBlocks: DATA_BLOCKS },
    );
    const base = {
      cacheId: 'a'.repeat(64),
      deviceId: 2,
      diffId: `sha256:${'1'.repeat(64)}`,
      tags: ['nginx:1'],
    };
    const names = { id: 'c'.repeat(64), name: 'web1', mountId: 'd'.repeat(64) };
    await writeDockerFiles(docker, BYTES, [base], [{ ...names, deviceId: 3, initDeviceId: 1, image: base }]);
    const metadata = await readFile(pool.metadata);
    const { mappingRoot, detailsRoot } = LegacyPool.open(new MemoryBlocks(metadata)).superblock;
    await writeFile(at('broken'), Buffer.from(metadata).fill(0, 0, 4096));
    // Behind the first of its blocks.
    const data = await readFile(pool.data);
    await writeFile(at('short'), data.subarray(0, 4 * EXTENT));
    await writeFile(at('ext.img'), Buffer.alloc(BYTES));
    await writeDisks(data, metadata);
    await cli.run('init', '--base-size', '24M', '--data-size', '1G', '--fs', 'ext4');
    await cli.run('export', '--format', 'dm-thin', '--output', at('backup'));
    words = new Map([
      ['/var/lib/docker/devicemapper', graph],
      ['/var/lib/docker', docker],
      ['/dev/sdb', at('disk')],
      ['disk1.img', at('disk1')],
      ['disk2.img', at('disk2')],
      ['/backup/pool', at('backup')],
      ['DATA', pool.data],
      ['SHORT-DATA', at('short')],
      ['META', pool.metadata],
      ['12', `${mappingRoot}`],
      ['13', `${detailsRoot}`],
      ['/mnt', at('mnt')],
    ]);
    await mkdir(at('mnt'));
  });

  it('runs each of its commands', async () => {
    const commands = commandsOf(await readFile(PAGE, 'utf8'));
    assert.ok(commands.length >= 17, `${commands.length} commands`);
    for (const [index, command] of commands.entries()) {
      const args = command
        .split(' ')
        .slice(1)
        .map((word) => wordFor(word, command));
      if (args.includes('import')) args.push('--prefix', `p${index}-`);
      const { code, stderr } = await cli.try(...args);
      assert.equal(code, args.includes('--skip-damaged') ? 1 : 0, `${command}: ${stderr}`);
      if (args.includes('mount')) {
        assert.equal(await readFile(path.join(at('mnt'), 'rootfs/page'), 'utf8'), 'hello\n', command);
        await run('umount', [at('mnt')]);
      }
    }
    assert.equal((await cli.json<{ ok: boolean }>('check')).ok, true);
  });

  function wordFor(word: string, command: string): string {
    if (word === 'META' && /--search|--mapping-root/.test(command)) return at('broken');
    return words.get(word) ?? (/\.(img|tar)$/.test(word) ? at(word) : word);
  }

  /** A disk with all of it, and two that have a part each. */
  async function writeDisks(data: Buffer, metadata: Buffer): Promise<void> {
    const volumes = (dataDisk: string, extent: number): string =>
      [
        volumeText('tp', [
          {
            extents: DATA_BLOCKS,
            text: 'type = "thin-pool"\nmetadata = "tp_tmeta"\npool = "tp_tdata"\ntransaction_id = 3\nchunk_size = 128',
          },
        ]),
        volumeText('vm', [
          {
            extents: BYTES / EXTENT,
            text: 'type = "thin"\nthin_pool = "tp"\ntransaction_id = 0\ndevice_id = 1',
          },
        ]),
        volumeText('tp_tmeta', [{ extents: META_EXTENTS, text: linear('pv0', 0) }], '"READ", "WRITE"'),
        volumeText('tp_tdata', [{ extents: DATA_BLOCKS, text: linear(dataDisk, extent) }], '"READ", "WRITE"'),
      ].join('\n');
    const make = async (disks: readonly TestDisk[], on: number, extent: number): Promise<void> => {
      for (const { path: file } of disks) await writeFile(file, '');
      await writeGroup({ disks, volumes: volumes(disks[on]!.name, extent) });
      await writeExtents(disks[0]!, 0, metadata.subarray(0, META_EXTENTS * EXTENT));
      await writeExtents(disks[on]!, extent, data);
    };
    const extents = META_EXTENTS + DATA_BLOCKS;
    await make([{ path: at('disk'), name: 'pv0', extents }], 0, META_EXTENTS);
    await make(
      [
        { path: at('disk1'), name: 'pv0', extents: META_EXTENTS },
        { path: at('disk2'), name: 'pv1', extents: DATA_BLOCKS },
      ],
      1,
      0,
    );
  }
});

/** Those in blocks, and those within a line that are whole. */
function commandsOf(page: string): readonly string[] {
  const blocks = [...page.matchAll(/```sh\n([^]*?)```/g)].flatMap(([, block = '']) => block.split('\n'));
  const inline = [...page.replace(/```[^]*?```/g, '').matchAll(/`(thinfuse legacy [^`]+)`/g)].map(
    ([, command = '']) => command,
  );
  return [...blocks, ...inline]
    .map((line) => line.replace(/\s+#.*$/, '').trim())
    .filter((line) => line.startsWith('thinfuse '));
}
