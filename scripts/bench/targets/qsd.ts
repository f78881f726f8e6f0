import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { attach, detach, endProcess, LoopMounts, makeXfs, pidIn, run } from '../host.js';
import { IMAGE_SIZE, type OpenTarget, type Target } from './target.js';

/**
 * As someone serves a disk who cares for speed: no page cache of the host (`cache.direct=on`, what qemu's
 * cache=none is), io_uring, which was the fastest of threads, native and io_uring here, and all else as it
 * comes.
 */
const DIRECT = 'cache.direct=on,aio=io_uring';

/** The host's page cache takes part, as it does for a thinfuse pool in a file. */
const CACHED = 'cache.direct=off,aio=io_uring';

/** A qcow2 overlay served by a qemu-storage-daemon of its own. */
class Served {
  readonly pid: number;
  readonly loop: string;
  readonly #mountPoint: string;

  private constructor(pid: number, loop: string, mountPoint: string) {
    this.pid = pid;
    this.loop = loop;
    this.#mountPoint = mountPoint;
  }

  static async start(overlay: string, fileOptions: string): Promise<Served> {
    const { pid, mountPoint } = await exportOverlay(overlay, fileOptions);
    try {
      return new Served(pid, await attach(mountPoint), mountPoint);
    } catch (error) {
      await endExport(pid, mountPoint);
      throw error;
    }
  }

  async stop(): Promise<void> {
    await detach(this.loop);
    await endExport(this.pid, this.#mountPoint);
  }
}

async function exportOverlay(
  overlay: string,
  fileOptions: string,
): Promise<{ pid: number; mountPoint: string }> {
  const mountPoint = `${overlay}.export`;
  const pidFile = `${overlay}.pid`;
  await writeFile(mountPoint, '');
  await run('qemu-storage-daemon', [
    '--daemonize',
    ...['--pidfile', pidFile],
    ...['--blockdev', `driver=file,node-name=file,filename=${overlay},${fileOptions}`],
    ...['--blockdev', 'driver=qcow2,node-name=disk,file=file'],
    ...['--export', `type=fuse,id=export,node-name=disk,mountpoint=${mountPoint},writable=on,allow-other=on`],
  ]);
  return { pid: pidIn(pidFile) ?? 0, mountPoint };
}

async function endExport(pid: number, mountPoint: string): Promise<void> {
  await endProcess(pid);
  await rm(mountPoint, { force: true });
}

function qsd(name: string, layout: { description: string; options: string; file: string }): Target {
  return {
    name,
    description: layout.description,
    needs: ['qemu-storage-daemon', 'qemu-img'],
    async open(site, undo): Promise<OpenTarget> {
      const at = (file: string): string => path.join(site.folder, file);
      // The size is given, so the origin need not be opened, which its own daemon has locked.
      const overlay = async (file: string, origin: string, format: 'raw' | 'qcow2', size: number) => {
        const options = ['-o', layout.options, '-u', '-b', origin, '-F', format];
        await run('qemu-img', ['create', '-q', '-f', 'qcow2', ...options, at(file), String(size)]);
      };
      const mainFile = 'device.qcow2';
      await run('truncate', ['--size', String(site.virtualSize), at('base.raw')]);
      await overlay(mainFile, at('base.raw'), 'raw', site.virtualSize);

      let main: Served | undefined = await Served.start(at(mainFile), layout.file);
      const retire = async () => {
        await main?.stop();
        main = undefined;
      };
      undo.defer(retire);
      const mounts = new LoopMounts(at('mnt'));
      const exports = new Map<string, { pid: number; mountPoint: string }>();
      undo.defer(async () => {
        await mounts.umountAll();
        for (const { pid, mountPoint } of exports.values()) await endExport(pid, mountPoint);
      });

      return {
        device: () => main?.loop ?? '',
        onSnapshot: async (use) => {
          await retire();
          await overlay('fresh.qcow2', at(mainFile), 'qcow2', site.virtualSize);
          const fresh = await Served.start(at('fresh.qcow2'), layout.file);
          try {
            await use(fresh.loop);
          } finally {
            await fresh.stop();
            await rm(at('fresh.qcow2'));
            main = await Served.start(at(mainFile), layout.file);
          }
        },
        snapshots: {
          take: (snapshot) => overlay(`${snapshot}.qcow2`, at(mainFile), 'qcow2', site.virtualSize),
          drop: (snapshot) => rm(at(`${snapshot}.qcow2`)),
          retireDevice: retire,
          removeDevice: () => rm(at(mainFile)),
        },
        containers: {
          prepare: () => makeXfs(at('xfs.raw'), IMAGE_SIZE),
          create: (container) => overlay(`${container}.qcow2`, at('xfs.raw'), 'raw', IMAGE_SIZE),
          mount: async (container) => {
            const served = await exportOverlay(at(`${container}.qcow2`), layout.file);
            exports.set(container, served);
            await mounts.mount(container, served.mountPoint);
          },
          umount: async (container) => {
            await mounts.umount(container);
            const served = exports.get(container);
            exports.delete(container);
            if (served !== undefined) await endExport(served.pid, served.mountPoint);
          },
          remove: (container) => rm(at(`${container}.qcow2`)),
        },
        daemons: () => [
          ...(main === undefined ? [] : [main.pid]),
          ...[...exports.values()].map(({ pid }) => pid),
        ],
      };
    },
  };
}

const PLAIN_LAYOUT = 'cluster_size=64k,extended_l2=off';

function how(fileOptions: string): string {
  return `qemu-storage-daemon, FUSE export of a qcow2 overlay (\`${fileOptions}\`), one daemon a device`;
}

export const QSD: Target = qsd('qsd', {
  description: `${how(DIRECT)}; 64 KiB clusters`,
  options: PLAIN_LAYOUT,
  file: DIRECT,
});

export const QSD_TARGETS: readonly Target[] = [
  QSD,
  // 128 KiB is the size at which a subcluster is 4 KiB: a 4 KiB write copies nothing, and the tables are no
  // larger than without.
  qsd('qsd-ext', {
    description: `${how(DIRECT)}; \`extended_l2=on\`, 128 KiB clusters of 4 KiB subclusters`,
    options: 'cluster_size=128k,extended_l2=on',
    file: DIRECT,
  }),
];

/** Only when asked for by name. */
export const QSD_CACHED: Target = qsd('qsd-cached', {
  description: `${how(CACHED)}; 64 KiB clusters`,
  options: PLAIN_LAYOUT,
  file: CACHED,
});
