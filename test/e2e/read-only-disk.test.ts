import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { CLI_COMMAND, Cli } from '../support/cli.js';
import { mounts, requireMounts, run, tryRun, useScratch } from '../support/mounts.js';

const MIB = 2 ** 20;

for (const kind of ['leveldb', 'direct'])
  describe(`a ${kind} pool on a disk that an error makes read-only`, function () {
    this.timeout(300_000);
    requireMounts(['mkfs.ext4', 'qemu-img']);
    const scratch = useScratch();
    /** Of the device `disk`: what is durable, and what its snapshot `before` has not. */
    const content = randomBytes(4 * MIB);
    let cli: Cli;
    let disk: string;
    let other: Cli;

    before(async () => {
      const file = scratch.current.at('disk');
      await writeFile(file, '');
      await truncate(file, 1024 * MIB);
      await run('mkfs.ext4', ['-q', '-e', 'remount-ro', file]);
      disk = await scratch.current.mount(await scratch.current.attach(file), 'ext4');
      other = new Cli(scratch.current, 'other');
      await other.run('init', '--base-size', '64M', '--data-size', '192M', '--fs', 'ext4');
      await other.run('start');
      cli = new Cli(scratch.current, path.relative(scratch.current.root, path.join(disk, 'root')));
      const data = kind === 'direct' ? ['--data', path.join(disk, 'data')] : [];
      await cli.run('init', '--fs', 'ext4', '--base-size', '64M', '--data-size', '192M', ...data);
      await cli.run('start');
      await cli.run('device', 'create', 'disk', '--size', '16M');
      await write(0, content.subarray(0, 2 * MIB));
      await cli.run('snapshot', 'before', 'disk');
      await send(['before'], 'first');
      await cli.run('snapshot', 'web', 'base');
      await cli.run('mount', 'web');
      await writeFile(path.join(cli.root, 'mnt/web/rootfs/file'), 'there');
      await cli.run('umount', 'web');
      await cli.call('pool.settle', {});
      // The log has these, and no commit will.
      await write(1 * MIB, content.subarray(1 * MIB, 2 * MIB));
      await write(2 * MIB, content.subarray(2 * MIB));
      const { source } = (await mounts()).find((row) => row.target === disk)!;
      await writeFile(`/sys/fs/ext4/${path.basename(source)}/trigger_fs_error`, '1');
    });

    after(async () => {
      await cli.try('stop');
      await other.try('stop');
    });

    async function write(offset: number, bytes: Uint8Array): Promise<void> {
      const [image = ''] = (await cli.run('activate', 'disk')).trim().split('\n');
      const file = await open(image, 'r+');
      await file.write(bytes, 0, bytes.length, offset);
      await file.sync();
      await file.close();
    }

    async function send(args: readonly string[], stream: string): Promise<void> {
      const sent = await tryRun(
        'sh',
        ['-c', '"$@" >"$0"', scratch.current.at(stream), ...CLI_COMMAND, 'send', ...args],
        { env: { ...process.env, THINFUSE_ROOT: cli.root } },
      );
      assert.equal(sent.code, 0, sent.stderr);
    }

    async function receive(stream: string): Promise<void> {
      const received = await tryRun(
        'sh',
        ['-c', '"$@" <"$0"', scratch.current.at(stream), ...CLI_COMMAND, 'receive'],
        { env: { ...process.env, THINFUSE_ROOT: other.root } },
      );
      assert.equal(received.code, 0, received.stderr);
    }

    async function isWhole(file: string): Promise<void> {
      assert.equal((await stat(file)).size, 16 * MIB);
      assert(content.equals((await readFile(file)).subarray(0, content.length)));
    }

    async function receivedIsWhole(): Promise<void> {
      const [image = ''] = (await other.run('activate', 'disk')).trim().split('\n');
      await isWhole(image);
      await other.run('rm', 'disk');
    }

    it('gives its devices out in each format', async () => {
      for (const format of ['raw', 'qcow2']) {
        const output = scratch.current.at(`out.${format}`);
        const { code, stderr } = await cli.try('export', 'disk', '--format', format, '--output', output);
        assert.equal(code, 0, stderr);
      }
      await isWhole(scratch.current.at('out.raw'));
      const raw = scratch.current.at('again.raw');
      await run('qemu-img', ['convert', '-O', 'raw', scratch.current.at('out.qcow2'), raw]);
      await isWhole(raw);
    });

    it('sends its devices, and what changed in them', async () => {
      await send(['disk'], 'whole');
      await receive('whole');
      await receivedIsWhole();
      await receive('first');
      await send(['disk', '--since', 'before'], 'changes');
      await receive('changes');
      await receivedIsWhole();
    });

    it('shows the files of a device, though its own folder takes no mount point', async () => {
      const tar = scratch.current.at('web.tar');
      const { code, stderr } = await cli.try('export', 'web', '--output', tar);
      assert.equal(code, 0, stderr);
      const out = scratch.current.at('files');
      await mkdir(out);
      await run('tar', ['-xf', tar, '-C', out]);
      assert.equal(await readFile(path.join(out, 'file'), 'utf8'), 'there');
      assert.match(await cli.run('diff', 'web'), /file/);
      assert.deepEqual(
        (await mounts()).filter(({ target }) => path.basename(target).startsWith('thinfuse-view-')),
        [],
      );
    });

    it('mounts a device for reading, though nobody says where', async () => {
      const target = (await cli.run('mount', '--ro', 'web')).trim();
      assert.match(path.basename(target), /^thinfuse-view-/);
      assert.equal(await readFile(path.join(target, 'rootfs/file'), 'utf8'), 'there');
      assert.equal((await cli.run('mount', '--ro', 'web')).trim(), target);
      await cli.run('umount', 'web');
      await assert.rejects(stat(target), { code: 'ENOENT' });
      assert.equal((await cli.try('mount', 'web')).code, 9);
    });

    it('exports the whole pool', async () => {
      const { code, stderr } = await cli.try(
        ...['export', '--format', 'dm-thin', '--output', scratch.current.at('pool')],
      );
      assert.equal(code, 0, stderr);
    });

    it('looks at its metadata, refuses changes with the same code, and stops', async () => {
      for (const command of ['check', 'scrub', 'dump']) await cli.run(command);
      assert.equal((await cli.try('snapshot', 'new', 'disk')).code, 9);
      const stopped = await cli.try('stop');
      // A pool cannot tell by itself that its disk has all that was written.
      assert([0, 10].includes(stopped.code), stopped.stderr);
      await run('umount', [disk]);
      const [device = ''] = (
        await run('losetup', ['--noheadings', '--output', 'NAME', '--associated', scratch.current.at('disk')])
      )
        .trim()
        .split('\n');
      await run('fsck.ext4', ['-fp', device]).catch(() => undefined);
      await run('mount', [device, disk]);
      await cli.run('start');
      const [image = ''] = (await cli.run('activate', 'disk')).trim().split('\n');
      await isWhole(image);
      await cli.run('stop');
      assert.equal((await cli.json<{ ok: boolean }>('check')).ok, true);
    });
  });
