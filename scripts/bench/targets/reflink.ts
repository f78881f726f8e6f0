import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { writeRange } from '../fio.js';
import { attach, detach, LoopMounts, makeXfs, run } from '../host.js';
import { IMAGE_SIZE, type OpenTarget, type Target } from './target.js';

/** Of the filesystem, beside three copies of the device. */
const HEADROOM = 4 * 2 ** 30;

export const REFLINK: Target = {
  name: 'reflink',
  description:
    'loop device on a `cp --reflink` copy of a full raw image in an XFS on a loop file; all in the kernel',
  needs: ['mkfs.xfs'],
  async open(site, undo): Promise<OpenTarget> {
    const disk = path.join(site.folder, 'xfs.img');
    await makeXfs(disk, 3 * site.virtualSize + HEADROOM, '-m', 'reflink=1');
    const outer = new LoopMounts(site.folder);
    undo.defer(() => outer.umountAll());
    await outer.mount('disk', disk);
    const at = (file: string): string => path.join(site.folder, 'disk', file);
    const copy = async (from: string, to: string) => {
      await run('cp', ['--reflink=always', at(from), at(to)]);
    };

    await run('truncate', ['--size', String(site.virtualSize), at('image.raw')]);
    const image = await attach(at('image.raw'));
    await writeRange(image, 0, site.size).finally(() => detach(image));
    await copy('image.raw', 'device.raw');
    let loop: string | undefined = await attach(at('device.raw'));
    const retire = async () => {
      if (loop !== undefined) await detach(loop);
      loop = undefined;
    };
    undo.defer(retire);
    await mkdir(at('mnt'));
    const mounts = new LoopMounts(at('mnt'));
    undo.defer(() => mounts.umountAll());

    return {
      device: () => loop ?? '',
      onSnapshot: async (use) => {
        await copy('device.raw', 'fresh.raw');
        const device = await attach(at('fresh.raw'));
        await use(device).finally(() => detach(device));
        await rm(at('fresh.raw'));
      },
      snapshots: {
        take: (snapshot) => copy('device.raw', snapshot),
        drop: (snapshot) => rm(at(snapshot)),
        retireDevice: retire,
        removeDevice: () => rm(at('device.raw')),
      },
      containers: {
        // Direct I/O to a file that shares blocks goes by whole blocks, and so does the loop device on it.
        prepare: () => makeXfs(at('xfs.raw'), IMAGE_SIZE, '-s', 'size=4096'),
        create: (container) => copy('xfs.raw', `${container}.raw`),
        mount: (container) => mounts.mount(container, at(`${container}.raw`)),
        umount: (container) => mounts.umount(container),
        remove: (container) => rm(at(`${container}.raw`)),
      },
    };
  },
};
