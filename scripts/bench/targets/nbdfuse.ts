import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import {
  attach,
  detach,
  endProcess,
  isMountPoint,
  LoopMounts,
  makeXfs,
  pidIn,
  run,
  startServer,
  waitFor,
} from '../host.js';
import { IMAGE_SIZE, type OpenTarget, type Target } from './target.js';

/** A file served by nbdkit, and seen as a file again through nbdfuse. */
class NbdFile {
  readonly pids: readonly number[];
  readonly file: string;
  readonly #mountPoint: string;

  private constructor(pids: readonly number[], mountPoint: string) {
    this.pids = pids;
    this.#mountPoint = mountPoint;
    this.file = path.join(mountPoint, 'disk');
  }

  /** `snapshot`: what is written goes to a temporary file beside it, as nbdkit's cow filter has it. */
  static async start(name: string, file: string, { snapshot }: { snapshot: boolean }): Promise<NbdFile> {
    const at = (kind: string): string => path.join(path.dirname(file), `${name}.${kind}`);
    await mkdir(at('nbd'), { recursive: true });
    const filter = snapshot ? ['--filter=cow'] : [];
    await run('nbdkit', ['--unix', at('sock'), '--pidfile', at('pid'), ...filter, 'file', file], {
      env: { TMPDIR: path.dirname(file) },
    });
    await waitFor('nbdkit serves', () => pidIn(at('pid')) !== undefined);
    const server = pidIn(at('pid')) ?? 0;
    try {
      const mount = ['--pidfile', at('fuse-pid'), path.join(at('nbd'), 'disk'), '--unix', at('sock')];
      return new NbdFile([await startServer('nbdfuse', mount, at('fuse-pid')), server], at('nbd'));
    } catch (error) {
      await endProcess(server);
      throw error;
    }
  }

  async stop(): Promise<void> {
    if (isMountPoint(this.#mountPoint)) await run('umount', [this.#mountPoint]);
    for (const pid of this.pids) await endProcess(pid);
    const name = this.#mountPoint.replace(/\.nbd$/, '');
    for (const kind of ['sock', 'pid', 'fuse-pid']) await rm(`${name}.${kind}`, { force: true });
  }
}

export const NBDFUSE: Target = {
  name: 'nbdfuse',
  description:
    'nbdkit file plugin + nbdfuse, both as they come; a snapshot lives as long as its server, which has the cow filter (64 KiB blocks)',
  needs: ['nbdkit', 'nbdfuse'],
  async open(site, undo): Promise<OpenTarget> {
    const at = (file: string): string => path.join(site.folder, file);
    await run('fallocate', ['--length', String(site.size), at('device.raw')]);
    const main = await NbdFile.start('device', at('device.raw'), { snapshot: false });
    undo.defer(() => main.stop());
    const loop = await attach(main.file);
    undo.defer(() => detach(loop));

    const mounts = new LoopMounts(at('mnt'));
    const served = new Map<string, NbdFile>();
    undo.defer(async () => {
      await mounts.umountAll();
      for (const container of served.values()) await container.stop();
    });

    return {
      device: () => loop,
      onSnapshot: async (use) => {
        const fresh = await NbdFile.start('fresh', at('device.raw'), { snapshot: true });
        try {
          const device = await attach(fresh.file);
          try {
            await use(device);
          } finally {
            await detach(device);
          }
        } finally {
          await fresh.stop();
        }
      },
      containers: {
        prepare: () => makeXfs(at('xfs.raw'), IMAGE_SIZE),
        mountOnly: true,
        create: () => Promise.resolve(),
        mount: async (container) => {
          const started = await NbdFile.start(container, at('xfs.raw'), { snapshot: true });
          served.set(container, started);
          await mounts.mount(container, started.file);
        },
        umount: async (container) => {
          await mounts.umount(container);
          await served.get(container)?.stop();
          served.delete(container);
        },
        remove: () => Promise.resolve(),
      },
      daemons: () => [...main.pids, ...[...served.values()].flatMap(({ pids }) => pids)],
    };
  },
};
