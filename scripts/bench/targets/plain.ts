import { rm } from 'node:fs/promises';
import path from 'node:path';
import { attach, detach, LoopMounts, makeXfs, run } from '../host.js';
import { IMAGE_SIZE, type OpenTarget, type Target } from './target.js';

export const PLAIN: Target = {
  name: 'plain',
  description: 'a preallocated raw file behind a loop device: the limit; it has no snapshots',
  needs: ['mkfs.xfs'],
  async open(site, undo): Promise<OpenTarget> {
    const at = (file: string): string => path.join(site.folder, file);
    await run('fallocate', ['--length', String(Math.max(site.size, site.virtualSize)), at('device.raw')]);
    const loop = await attach(at('device.raw'));
    undo.defer(() => detach(loop));
    const mounts = new LoopMounts(at('mnt'));
    undo.defer(() => mounts.umountAll());
    return {
      device: () => loop,
      containers: {
        mountOnly: true,
        prepare: () => Promise.resolve(),
        create: (container) => makeXfs(at(`${container}.raw`), IMAGE_SIZE),
        mount: (container) => mounts.mount(container, at(`${container}.raw`)),
        umount: (container) => mounts.umount(container),
        remove: (container) => rm(at(`${container}.raw`)),
      },
    };
  },
};
