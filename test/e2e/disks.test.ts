import assert from 'node:assert/strict';
import { readFile, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Cli } from '../support/cli.js';
import { requireMounts, run, useScratch } from '../support/mounts.js';

const MIB = 2 ** 20;

describe('disks', function () {
  this.timeout(240_000);
  requireMounts(['mkfs.ext4', 'qemu-img']);
  const scratch = useScratch();
  let cli: Cli;
  let raw: string;
  let qcow2: string;

  const facts = async (name: string): Promise<Record<string, unknown>> =>
    (await cli.json<readonly Record<string, unknown>[]>('ls', name))[0]!;
  const activate = async (name: string): Promise<string> => (await cli.run('activate', name)).trim();

  before('a pool, and a disk as a machine has it', async () => {
    cli = new Cli(scratch.current);
    await cli.run('init', '--base-size', '512M', '--data-size', '2G');
    await cli.run('start');
    raw = scratch.current.at('disk.raw');
    qcow2 = scratch.current.at('disk.qcow2');
    const files = await scratch.current.folder('files');
    await writeFile(path.join(files, 'data'), 'on the disk');
    await writeFile(raw, '');
    await truncate(raw, 64 * MIB);
    await run('mkfs.ext4', ['-q', '-d', files, raw]);
    await run('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', '-c', raw, qcow2]);
  });

  it('come in byte for byte from raw and qcow2, without what is zeroes', async () => {
    for (const [name, file] of [
      ['one', raw],
      ['two', qcow2],
    ] as const) {
      await cli.run('import', name, file);
      await run('cmp', [raw, await activate(name)]);
      await cli.run('deactivate', name);
      const { size, mapped, content, filesystem, unfinished } = await facts(name);
      assert.deepEqual([size, content, filesystem, unfinished], [64 * MIB, 'raw', null, false]);
      assert((mapped as number) < 16 * MIB, `${String(mapped)} bytes are mapped`);
    }
    const mounted = (await cli.run('mount', 'two')).trim();
    assert.equal(await readFile(path.join(mounted, 'data'), 'utf8'), 'on the disk');
    await cli.run('umount', 'two');
  });

  it('may be larger than their image, and images that others start from', async () => {
    await cli.run('import', 'gold', qcow2, '--image', '--size', '128M');
    const [made] = await cli.json<readonly Record<string, unknown>[]>('clone', 'gold', 'vm');
    assert.deepEqual([made!['kind'], made!['size'], made!['content']], ['container', 128 * MIB, 'raw']);
    await run('cmp', ['--bytes', String(64 * MIB), raw, await activate('vm')]);
    await cli.run('deactivate', 'vm');
  });

  it('are refused where they are none, and leave nothing', async () => {
    const over = scratch.current.at('over.qcow2');
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', qcow2, '-F', 'qcow2', over]);
    await writeFile(scratch.current.at('empty'), '');
    for (const [file, code, words, ...more] of [
      [over, 2, /is only complete with .*disk\.qcow2/],
      [scratch.current.at('empty'), 2, /is empty/],
      [scratch.current.root, 2, /is a folder/],
      [scratch.current.at('nowhere'), 3, /there is no/],
      [raw, 7, /cannot be read as qcow2/, '--format', 'qcow2'],
      [raw, 2, /cannot hold it/, '--size', '1M'],
    ] as const) {
      const failed = await cli.try('import', 'bad', file, ...more);
      assert.equal(failed.code, code, failed.stderr);
      assert.match(failed.stderr, words);
    }
    assert.equal((await cli.try('ls', 'bad')).code, 3);
    assert.equal((await cli.try('import', 'one', raw)).code, 4);
  });

  it('begin blank, carry what is made on them, and grow', async () => {
    await cli.run('device', 'create', 'blank', '--size', '64M');
    assert.equal((await facts('blank'))['mapped'], 0);
    for (const how of [[], ['--ro']]) {
      const refused = await cli.try('mount', ...how, 'blank');
      assert.equal(refused.code, 8, refused.stderr);
      assert.match(refused.stderr, /disk without a filesystem; make one with: mkfs/);
    }
    await run('mkfs.ext4', ['-q', await activate('blank')]);
    const mounted = (await cli.run('mount', 'blank')).trim();
    await writeFile(path.join(mounted, 'mine'), 'x');
    assert.equal((await cli.try('ls', 'blank')).stdout.includes(mounted), true);
    await cli.run('grow', 'blank', '128M');
    await cli.run('umount', '--all');
    assert.match(await cli.run('check'), /no problem found/);
  });
});
