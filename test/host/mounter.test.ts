import assert from 'node:assert/strict';
import { copyFile, constants, open, readFile, statfs, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { ThinError } from '../../src/errors/thin-error.js';
import { ChildProcessExec } from '../../src/host/exec.js';
import { FilesystemTools } from '../../src/host/filesystem-tools.js';
import type { Filesystem } from '../../src/host/filesystems.js';
import { LOOP_LIMITS, LoopDevices } from '../../src/host/loop-devices.js';
import { MountTable } from '../../src/host/mount-table.js';
import { Mounter } from '../../src/host/mounter.js';
import { holdInNamespace } from '../support/mount-namespace.js';
import { eventually } from '../support/eventually.js';
import { requireMounts, run, tryRun, useScratch } from '../support/mounts.js';

const MIB = 1024 * 1024;
/** mkfs.xfs makes no smaller ones than 300 MiB. */
const SIZE = 320 * MIB;
const coded =
  (code: string, pattern = /./) =>
  (error: unknown) =>
    error instanceof ThinError && error.code === code && pattern.test(error.message);

describe('Mounter', function () {
  this.timeout(300_000);
  requireMounts(['mkfs.xfs', 'xfs_growfs', 'mkfs.ext4', 'tune2fs', 'resize2fs', 'fsfreeze', 'blkid']);
  const scratch = useScratch();
  const exec = new ChildProcessExec();
  const loops = new LoopDevices(exec, { ...LOOP_LIMITS, settleMs: 1_000 });
  const tools = new FilesystemTools(exec);
  const mounter = new Mounter(exec, loops, tools);

  async function sparse(name: string, size = SIZE): Promise<string> {
    const file = path.join(await scratch.current.folder('images'), name);
    await (await open(file, 'w')).close();
    await truncate(file, size);
    return file;
  }

  async function formatted(filesystem: Filesystem): Promise<string> {
    const image = await sparse(`${filesystem}.img`);
    await mounter.format(image, filesystem);
    return image;
  }

  const copy = async (image: string): Promise<string> => {
    const target = path.join(await scratch.current.folder('copies'), 'copy.img');
    await copyFile(image, target, constants.COPYFILE_FICLONE);
    return target;
  };

  const UUID_ARGS = {
    xfs: (uuid: string) => ['-m', `uuid=${uuid}`],
    ext4: (uuid: string) => ['-U', uuid],
  } as const;
  for (const filesystem of ['xfs', 'ext4'] as const)
    describe(filesystem, () => {
      it('makes a filesystem with the UUID asked for, over an older one', async () => {
        const image = await formatted(filesystem === 'xfs' ? 'ext4' : 'xfs');
        const uuid = '7ab1a2c0-35f1-4b0b-9d30-6a1bbf1dc0de';
        assert.deepEqual(
          await mounter.format(image, filesystem, { extraArgs: UUID_ARGS[filesystem](uuid) }),
          { uuid },
        );
        assert.deepEqual(await tools.detect(image), { type: filesystem, uuid });
        assert.deepEqual(await loops.findByBackingFile(image), []);
      });

      it('mounts, keeps what is written, leaves nothing behind', async () => {
        const image = await formatted(filesystem);
        const target = await scratch.current.folder('mnt');
        const request = { image, target, filesystem, readOnly: false, xfsNospaceMaxRetries: 0 };
        const mounted = await mounter.mount(request);
        assert.deepEqual([mounted.target, mounted.skippedLog], [target, false]);
        if (filesystem === 'xfs')
          assert.equal(
            await readFile(
              `/sys/fs/xfs/${path.basename(mounted.loop)}/error/metadata/ENOSPC/max_retries`,
              'utf8',
            ),
            '0\n',
          );
        await writeFile(path.join(target, 'file'), 'written');
        await assert.rejects(mounter.mount(request), coded('busy', /choose another target/));
        const other = await scratch.current.folder('other');
        await assert.rejects(
          mounter.mount({ ...request, target: other }),
          coded('busy', new RegExp(mounted.loop)),
        );
        await assert.rejects(mounter.format(image, filesystem), coded('busy', new RegExp(mounted.loop)));
        await mounter.unmount(mounted);
        assert.equal((await MountTable.read()).on(target), undefined);
        assert.deepEqual(await loops.findByBackingFile(image), []);
        await mounter.unmount(mounted);

        const another = await scratch.current.attach(await formatted(filesystem));
        await mounter.unmount({ ...mounted, loop: another });
        await mounter.unmount({ ...mounted, loop: another }, { lazily: true });
        assert.ok((await loops.get(another)) !== undefined, 'somebody else’s loop device was detached');

        const again = await mounter.mount({ ...request, readOnly: true });
        assert.equal(await readFile(path.join(target, 'file'), 'utf8'), 'written');
        await assert.rejects(writeFile(path.join(target, 'file'), 'x'), { code: 'EROFS' });
        await mounter.unmount(again);
      });

      it('detaches nothing of others where its loop device goes with the mount', async () => {
        const image = await formatted(filesystem);
        const [target, other] = [await scratch.current.folder('mnt'), await formatted(filesystem)];
        const exec = new ChildProcessExec();
        // Another test, too, may take the number when it is free: then once more.
        await eventually('the number is taken', async () => {
          const mounted = await mounter.mount({ image, target, filesystem, readOnly: true });
          await loops.detachWithLastUser(mounted.loop);
          const number = { isTaken: false };
          const overtaken = new Mounter(
            {
              run: async (tool, args, options) => {
                const done = await exec.run(tool, args, options);
                if (tool === 'umount')
                  number.isTaken = (await tryRun('losetup', [mounted.loop, other])).code === 0;
                return done;
              },
            },
            loops,
            tools,
          );
          await overtaken.unmount(mounted);
          if (!number.isTaken) return false;
          assert.equal((await loops.get(mounted.loop))?.backingFile, other);
          await loops.detach(mounted.loop, other);
          return true;
        });
      });

      it('mounts copies of one filesystem side by side', async () => {
        const image = await formatted(filesystem);
        const second = await copy(image);
        const mounted = await Promise.all(
          [image, second].map(async (file) =>
            mounter.mount({
              image: file,
              target: await scratch.current.folder('mnt'),
              filesystem,
              readOnly: false,
            }),
          ),
        );
        await Promise.all(mounted.map((each) => mounter.unmount(each)));
      });

      it('grows while mounted', async () => {
        const image = await formatted(filesystem);
        const target = await scratch.current.folder('mnt');
        const mounted = await mounter.mount({ image, target, filesystem, readOnly: false });
        const before = await sizeOf(target);
        await writeFile(path.join(target, 'file'), 'kept');
        await truncate(image, 2 * SIZE);
        await mounter.grow(mounted, filesystem, 2 * SIZE);
        assert((await sizeOf(target)) > before + SIZE * 0.8);
        assert.equal(await readFile(path.join(target, 'file'), 'utf8'), 'kept');
        await writeFile(path.join(target, 'file'), 'changed');
        await mounter.unmount(mounted);
      });

      it('a copy taken while frozen under load holds what was written before, and mounts read-only as it is', async () => {
        const image = await formatted(filesystem);
        const target = await scratch.current.folder('mnt');
        const mounted = await mounter.mount({ image, target, filesystem, readOnly: false });
        const writer = scratch.current.start('sh', [
          '-c',
          'i=0; while :; do echo $i > "$0/f$i"; rm -f "$0/f$((i - 20))"; i=$((i + 1)); done',
          target,
        ]);
        await writeFile(path.join(target, 'before'), 'x'.repeat(100_000));
        const snapshot = await mounter.frozen(image, async () => {
          await assert.rejects(tools.freeze(target), coded('busy', /frozen already.*fsfreeze/));
          return copy(image);
        });
        writer.kill('SIGKILL');
        await writeFile(path.join(target, 'after'), 'thawed');
        await mounter.unmount(mounted);

        const sum = await checksum(snapshot);
        const view = await mounter.mount({ image: snapshot, target, filesystem, readOnly: true });
        assert.equal((await readFile(path.join(target, 'before'))).length, 100_000);
        await mounter.unmount(view);
        assert.equal(await checksum(snapshot), sum);

        const writable = await mounter.mount({ image: snapshot, target, filesystem, readOnly: false });
        assert.equal((await readFile(path.join(target, 'before'))).length, 100_000);
        await mounter.unmount(writable);
        const check = filesystem === 'xfs' ? ['xfs_repair', '-n', snapshot] : ['e2fsck', '-fn', snapshot];
        await run(check[0] ?? '', check.slice(1));
      });

      it('reads an image whose writer died, without its log and without touching it', async () => {
        const image = await formatted(filesystem);
        const target = await scratch.current.folder('mnt');
        const mounted = await mounter.mount({ image, target, filesystem, readOnly: false });
        await writeFile(path.join(target, 'file'), 'x');
        await tools.sync(target);
        const crashed = await copy(image);
        await mounter.unmount(mounted);
        const view = await mounter.mount({ image: crashed, target, filesystem, readOnly: true });
        assert.equal(view.skippedLog, true);
        await mounter.unmount(view);
      });

      it('thaws when the work fails', async () => {
        const image = await formatted(filesystem);
        const target = await scratch.current.folder('mnt');
        const mounted = await mounter.mount({ image, target, filesystem, readOnly: false });
        const failing = mounter.frozen(image, () => Promise.reject(new Error('as the test wants')));
        await assert.rejects(failing, /as the test wants/);
        await writeFile(path.join(target, 'file'), 'x');
        await mounter.unmount(mounted);
      });
    });

  it('runs the work for an image that is not mounted', async () => {
    assert.equal(await mounter.frozen(await sparse('free.img'), () => Promise.resolve(7)), 7);
  });

  it('leaves no loop device behind when there is no such filesystem, and says what is there', async () => {
    const target = await scratch.current.folder('mnt');
    const empty = await sparse('empty.img');
    const request = { image: empty, target, filesystem: 'xfs', readOnly: false } as const;
    await assert.rejects(mounter.mount(request), coded('damaged', /empty\.img has no filesystem/));
    const ext4 = await formatted('ext4');
    const other = await mounter.mount({ ...request, image: ext4 });
    assert.equal(other.filesystem, 'ext4');
    await mounter.unmount(other);
    const swap = await sparse('swap.img');
    await run('mkswap', [swap]);
    await assert.rejects(mounter.mount({ ...request, image: swap }), coded('unsupported', /swap space/));
    const bad = await formatted('xfs');
    await assert.rejects(
      mounter.mount({ ...request, image: bad, mountOptions: 'nonsense' }),
      coded('tool-failed', /nonsense/),
    );
    for (const image of [empty, ext4, bad]) assert.deepEqual(await loops.findByBackingFile(image), []);
    await assert.rejects(
      mounter.mount({ ...request, target: scratch.current.at('no-such') }),
      coded('not-found'),
    );
  });

  it('names who keeps a mount busy, changes nothing then, and lets go lazily when told', async () => {
    const image = await formatted('xfs');
    const target = await scratch.current.folder('mnt');
    const mounted = await mounter.mount({ image, target, filesystem: 'xfs', readOnly: false });
    const user = scratch.current.start('sleep', ['600'], { cwd: target });
    await assert.rejects(mounter.unmount(mounted), coded('busy', new RegExp(`sleep \\(pid ${user.pid}\\)`)));
    assert.notEqual((await MountTable.read()).on(target), undefined);
    assert.equal((await loops.get(mounted.loop))?.autoclear, false);
    await writeFile(path.join(target, 'file'), 'still there');
    await mounter.unmount(mounted, { lazily: true });
    assert.equal((await MountTable.read()).on(target), undefined);
    user.kill('SIGKILL');
  });

  it('reports a filesystem that lives on in a bind mount or in another namespace, and finishes when that is gone', async () => {
    const image = await formatted('ext4');
    const target = await scratch.current.folder('mnt');
    const bind = await scratch.current.folder('bind');
    const mounted = await mounter.mount({ image, target, filesystem: 'ext4', readOnly: false });
    await run('mount', ['--bind', target, bind]);
    await assert.rejects(mounter.unmount(mounted), coded('busy', new RegExp(`a mount on ${bind}.*stays`)));
    await run('umount', [bind]);
    await mounter.unmount(mounted);

    const again = await mounter.mount({ image, target, filesystem: 'ext4', readOnly: false });
    const other = await holdInNamespace(scratch.current, target);
    await assert.rejects(
      mounter.unmount(again),
      coded('busy', new RegExp(`\\(pid ${other.pid}\\), whose own mount namespace`)),
    );
    const ended = new Promise((resolve) => other.once('exit', resolve));
    other.kill('SIGKILL');
    await ended;
    await mounter.unmount(again);
    assert.deepEqual(await loops.findByBackingFile(image), []);
  });
});

async function sizeOf(target: string): Promise<number> {
  return (await statfs(target)).blocks * (await statfs(target)).bsize;
}

async function checksum(file: string): Promise<string> {
  return (await run('cksum', [file])).split(' ')[0] ?? '';
}
