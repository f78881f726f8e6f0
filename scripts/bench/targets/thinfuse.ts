import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { SocketClient } from '../../../src/api/client.js';
import { attach, detach, pidIn, run } from '../host.js';
import { IMAGE_SIZE, type OpenTarget, type Target } from './target.js';

const CLI = path.resolve(import.meta.dirname, '../../../dist/cli/main.js');
const DEVICE = 'bench';
const IMAGE = 'image';
const FASTEST_TRANSPORT = 'kernel';

/**
 * Bytes of a `leveldb` pool's chunk cache: fio's data and its snapshots' fit in. The default, 256M, would
 * measure reading LevelDB.
 */
function cacheFor(size: number): number {
  return 2 * size;
}

/** What the pool holds beside two copies of the device; no bench is about a full pool. */
const HEADROOM = 32 * 2 ** 30;

const CACHED = {
  direct: "its files go through the host's page cache",
  leveldb: 'with `--cache-size` twice the size of the device',
} as const;

function thinfuse(name: string, data: 'leveldb' | 'direct', transport: 'kernel' | 'fuse-native'): Target {
  return {
    name,
    description: `${data} pool, \`start --transport ${transport}\`; ${CACHED[data]}`,
    needs: [],
    async open(site, undo): Promise<OpenTarget> {
      const root = path.join(site.folder, 'root');
      const cli = (...args: readonly string[]): Promise<string> =>
        run(process.execPath, [CLI, '--root', root, ...args]);
      await mkdir(site.folder, { recursive: true });
      await cli(
        'init',
        ...['--data', data === 'leveldb' ? 'leveldb' : path.join(site.folder, 'data.img')],
        ...['--data-size', String(2 * site.virtualSize + HEADROOM)],
        ...['--base-size', String(Math.max(IMAGE_SIZE, site.virtualSize))],
      );
      undo.defer(async () => {
        if (pidIn(path.join(root, 'thinfuse.pid')) !== undefined) await cli('stop', '--force');
      });
      const cache = data === 'leveldb' ? ['--cache-size', String(cacheFor(site.size))] : [];
      await cli('start', '--transport', transport, ...cache);
      const client = new SocketClient(path.join(root, 'thinfuse.sock'));
      const create = async (device: string, kind: 'image' | 'container' | 'snapshot', origin?: string) => {
        await client.call('device.create', { name: device, kind, origin });
      };
      const remove = async (device: string) => {
        await client.call('device.remove', { name: device });
      };
      const activated = async (device: string) =>
        attach((await client.call('activate', { name: device })).path);

      await create(IMAGE, 'image');
      await create(DEVICE, 'container', IMAGE);
      let loop: string | undefined = await activated(DEVICE);
      const retire = async () => {
        if (loop === undefined) return;
        await detach(loop);
        loop = undefined;
        await client.call('deactivate', { name: DEVICE });
      };
      undo.defer(retire);

      return {
        device: () => loop ?? '',
        onSnapshot: async (use) => {
          await create('fresh', 'snapshot', DEVICE);
          const device = await activated('fresh');
          try {
            await use(device);
          } finally {
            await detach(device);
            await client.call('deactivate', { name: 'fresh' });
            await remove('fresh');
          }
          await client.call('pool.settle', {});
        },
        snapshots: {
          take: (snapshot) => create(snapshot, 'snapshot', DEVICE),
          takeByCli: async (snapshot) => {
            await cli('snapshot', snapshot, DEVICE);
          },
          drop: remove,
          retireDevice: async () => {
            await retire();
            await client.call('pool.settle', {});
          },
          removeDevice: () => remove(DEVICE),
        },
        containers: {
          prepare: () => Promise.resolve(),
          create: (container) => create(container, 'container', IMAGE),
          mount: async (container) => {
            await client.call('mount', { name: container });
          },
          umount: async (container) => {
            await client.call('umount', { name: container });
          },
          remove,
        },
        commands: { run: cli, folder: site.folder },
        daemons: () => [pidIn(path.join(root, 'thinfuse.pid')) ?? 0],
      };
    },
  };
}

export const THINFUSE_TARGETS: readonly Target[] = [
  thinfuse('thinfuse-direct', 'direct', FASTEST_TRANSPORT),
  thinfuse('thinfuse-leveldb', 'leveldb', FASTEST_TRANSPORT),
];

/** Only when asked for by name. */
export const LIBFUSE_TARGETS: readonly Target[] = [
  thinfuse('thinfuse-direct-libfuse', 'direct', 'fuse-native'),
  thinfuse('thinfuse-leveldb-libfuse', 'leveldb', 'fuse-native'),
];
