import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { open, readFile, truncate, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Archive } from '../../src/host/archive.js';
import { ChildProcessExec } from '../../src/host/exec.js';
import { FilesystemTools } from '../../src/host/filesystem-tools.js';
import { LoopDevices } from '../../src/host/loop-devices.js';
import { Mounter } from '../../src/host/mounter.js';
import { requireMounts, useScratch } from '../support/mounts.js';

const exec = new ChildProcessExec();

/** What the blocks of 64 KiB hold that are not empty. */
async function blockNames(image: string): Promise<string[]> {
  const bytes = await readFile(image);
  const names: string[] = [];
  for (let at = 0; at < bytes.length; at += 65536) {
    const block = bytes.subarray(at, at + 65536);
    if (block.some((byte) => byte !== 0)) names.push(createHash('sha256').update(block).digest('hex'));
  }
  return names;
}

describe('a filesystem that is filled', function () {
  this.timeout(300_000);
  requireMounts(['tar', 'taskset', 'mkfs.xfs', 'mkfs.ext4']);
  const scratch = useScratch();

  for (const filesystem of ['xfs', 'ext4'] as const)
    it(`has the same blocks of the same files, in whatever order their folder has them: ${filesystem}`, async () => {
      const files = Array.from({ length: 60 }, (_, at) => ({
        name: `file-${at}`,
        bytes: createHash('shake256', { outputLength: 20_000 + 5000 * at })
          .update(`${at}`)
          .digest(),
      }));
      const mounter = new Mounter(exec, new LoopDevices(exec), new FilesystemTools(exec));
      const made: { readonly uuid: string; readonly blocks: readonly string[] }[] = [];
      for (const order of [files, [...files].reverse()]) {
        const folder = await scratch.current.folder(`files-${made.length}`);
        for (const { name, bytes } of order) {
          await writeFile(path.join(folder, name), bytes);
          await utimes(path.join(folder, name), 1000, 1000);
        }
        const image = scratch.current.at(`made-${made.length}`);
        await (await open(image, 'w')).close();
        await truncate(image, 512 * 1024 * 1024);
        const { uuid } = await mounter.format(image, filesystem, { size: 512 * 1024 * 1024 });
        const target = await scratch.current.folder(`mnt-${made.length}`);
        const options = filesystem === 'ext4' ? { options: 'nodelalloc' } : {};
        const mounted = await mounter.mount({ image, target, filesystem, readOnly: false, ...options });
        await new Archive(exec, { onOneCpu: filesystem === 'ext4' }).import(folder, target);
        await mounter.unmount(mounted);
        made.push({ uuid, blocks: await blockNames(image) });
      }
      const [one, two] = made;
      assert(one !== undefined && two !== undefined);
      assert.equal(one.uuid, two.uuid);
      const known = new Set(one.blocks);
      const others = two.blocks.filter((name) => !known.has(name)).length;
      // Inodes, and the log or journal, which has more where the machine is slow. Without an order of names
      // nearly all differ.
      assert(others < two.blocks.length / 2, `${others} of ${two.blocks.length} blocks differ`);
    });
});
